//! Request heads of browsers and proxies: cookies and headers of other programs on the host do no
//! harm.

use super::*;

const OURS: &str = "__Host-kwic_session";

/// Tells what it understood of its head.
async fn understood(request: Request) -> Reply {
    let items: Vec<&str> = request.items_from_last("x-forwarded-for").collect();
    Reply::text(
        "text/plain",
        format!(
            "{:?} {} {items:?} {} {} {:?}",
            request.cookie(OURS),
            request.has_cookie(OURS),
            request.agent(),
            request.media(),
            request.host_name(),
        ),
    )
}

async fn told(served: &Served, lines: &[u8]) -> String {
    let mut head = b"GET / HTTP/1.1\r\nhost: a\r\n".to_vec();
    head.extend_from_slice(lines);
    head.extend_from_slice(b"\r\n");
    let answer = served.connect().await.ask(head).await;
    assert_eq!(answer.status, 200, "{}: {answer:?}", String::from_utf8_lossy(lines));
    answer.body
}

#[tokio::test]
async fn a_cookie_is_found_whatever_stands_beside_it() {
    let served = serve(small(), understood).await;
    let large = [b"cookie: big=".to_vec(), vec![b'x'; 20_000], b"; @=7\r\n".to_vec()].concat();
    let found: [&[u8]; 15] = [
        b"cookie: @=7\r\n",
        b"cookie: theme=caf\xe9; @=7\r\n",
        b"cookie: @=7; theme=\xff\xfe\x80\r\n",
        "cookie: n\u{e4}me=\u{2603}; @=7\r\n".as_bytes(),
        b"cookie: a=1;@=7;b=2\r\n",
        b"cookie: ;; ; @=7;\r\n",
        b"cookie: flag; @=7; =novalue\r\n",
        b"cookie:   @ = 7 \r\n",
        b"cookie: q=\"a b\"; j={\"k\":[1]}; @=7\r\n",
        b"cookie: a=b=c==; @=7\r\n",
        b"cookie: a=1\r\ncookie: @=7\r\ncookie: b=\xe9\r\n",
        b"COOKIE: a=1\t;\t@=7\r\n",
        b"cookie: o=8; \xe2\x80\x80@=9; x@=9; @2=9; @=7\r\n",
        b"cookie: \xa0@=9; \xc2\xa0@=9; @=7\r\n",
        &large,
    ];
    for line in found {
        let line = replaced(line);
        let told = told(&served, &line).await;
        assert!(told.starts_with("Some(\"7\") true"), "{}: {told}", String::from_utf8_lossy(&line));
    }
    // Ours, and nobody can say what it is; then not ours.
    let unclear: [&[u8]; 6] = [
        b"cookie: @=7\r\ncookie: @=7\r\n",
        b"cookie: @=7; @=7\r\n",
        b"cookie: @=7; @=8\r\n",
        b"cookie: @=7\r\ncookie: @=\r\n",
        b"cookie: @=7; a=\xe9; @=\xe9\r\n",
        b"cookie: @=\xe9\r\n",
    ];
    for line in unclear {
        let told = told(&served, &replaced(line)).await;
        assert!(told.starts_with("None true"), "{}: {told}", String::from_utf8_lossy(line));
    }
    let absent: [&[u8]; 6] = [
        b"",
        b"cookie: @\r\n",
        b"cookie: o=7\r\n",
        b"cookie: \xe2\x80\x80@=7\r\n",
        b"cookie: a=\"; @7\"\r\n",
        b"cookie: \xc2\x85@=7; \xa0@=7\r\n",
    ];
    for line in absent {
        let told = told(&served, &replaced(line)).await;
        assert!(told.starts_with("None false"), "{}: {told}", String::from_utf8_lossy(line));
    }
}

/// `@` is written for the name of our cookie.
fn replaced(line: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b'@').collect();
    parts.join(OURS.as_bytes())
}

#[tokio::test]
async fn one_item_that_is_no_text_spoils_no_other() {
    let served = serve(small(), understood).await;
    for (lines, items) in [
        (&b"x-forwarded-for: 192.0.2.1, 203.0.113.9\r\n"[..], r#"["203.0.113.9", "192.0.2.1"]"#),
        (b"x-forwarded-for: \xe9\xff, 203.0.113.9\r\n", r#"["203.0.113.9", ""]"#),
        (b"x-forwarded-for: \xe9\r\nX-Forwarded-For: a,b\r\n", r#"["b", "a", ""]"#),
        (b"x-forwarded-for: a, \xe9\r\n", r#"["", "a"]"#),
    ] {
        let told = told(&served, lines).await;
        assert!(told.contains(items), "{told}");
    }
}

#[tokio::test]
async fn other_heads_are_read_as_bytes() {
    let served = serve(small(), understood).await;
    let lines = b"user-agent: Caf\xe9 1\r\ncontent-type:  Text/CSV ;name=\"\xe9\"\r\n";
    let told = told(&served, lines).await;
    assert!(told.contains("Caf\u{fffd} 1 Text/CSV"), "{told}");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_a_sentence() {
    let post =
        |length: &str| format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    let many: String = (0..200).map(|n| format!("x{n}: y\r\n")).collect();
    let heads = [
        (post("18446744073709551615"), 413, "send the length of the body"),
        (post("18446744073709551614"), 413, "send the length of the body"),
        (post("18446744073709551613"), 413, "larger than 64 bytes"),
        (post("18446744073709551616"), 400, "not an HTTP/1.1 request"),
        (post("-1"), 400, "not an HTTP/1.1 request"),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"), 431, "more than 100 fields"),
        (post(&"9".repeat(80 << 10)), 431, "larger than 64 KiB"),
        ("nonsense\r\n\r\n".to_owned(), 400, "not an HTTP/1.1 request"),
    ];
    for served in [serve(small(), echo).await, serve_by_hyper(small(), echo).await] {
        for (head, status, words) in &heads {
            for is_first in [true, false] {
                let mut wire = served.connect().await;
                if !is_first {
                    assert_eq!(wire.ask(GET).await.status, 200);
                }
                let answer = wire.ask(head).await;
                let begins = &head[..head.len().min(80)];
                assert_eq!(answer.status, *status, "{begins}: {answer:?}");
                assert!(answer.body.contains(words), "{begins}: {answer:?}");
                assert!(answer.header("x-request-id").is_some(), "{answer:?}");
                if !words.contains("64 bytes") {
                    assert_eq!(wire.rest().await, "", "and the connection ends");
                }
            }
        }
    }
}
