//! The shared log on a real PostgreSQL: each outcome, many appenders, lost answers, a killed server,
//! and what is refused with which sentence.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kwic_team::domain::Digest;
use kwic_team::store::postgres_log::{LogId, PostgresLog, PostgresSettings};
use kwic_team::store::shared_log::{
    Appended, ENTRY_BYTES_MAX, EntryId, FleetLog as _, LogEntry, LogHead, LogPart,
    OBJECT_BYTES_MAX, SharedLog,
};
use tokio::runtime::{Builder, Runtime};

use crate::support::postgres_server::PostgresServer;
use crate::support::sidecar::{eventually, is_there};
use crate::support::tcp_proxy::{Passing, TcpProxy};

const LOG: LogId = LogId([7; 16]);

fn start() -> LogHead {
    LogHead { index: 0, authenticator: Digest::of(&[b"the log of a test"]) }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A log in a schema of its own.
struct Fixture {
    log: PostgresLog,
    settings: PostgresSettings,
    runtime: Runtime,
}

impl Fixture {
    fn on(server: &PostgresServer, schema: &str) -> Self {
        Self::made(settings(server.url(), schema))
    }

    fn made(settings: PostgresSettings) -> Self {
        let runtime = runtime();
        PostgresLog::create(&settings, runtime.handle(), LOG, &start()).unwrap();
        Self::of(settings, runtime)
    }

    fn of(settings: PostgresSettings, runtime: Runtime) -> Self {
        let log = PostgresLog::open(&settings, runtime.handle().clone(), LOG).unwrap();
        Self { log, settings, runtime }
    }

    /// The same log, of another node, by way of a port.
    fn by_port(&self, server: &PostgresServer, port: u16) -> Self {
        let url = server.url_by(&format!("127.0.0.1:{port}"));
        Self::of(PostgresSettings { url, ..self.settings.clone() }, runtime())
    }

    fn head(&self) -> LogHead {
        self.log.read(u64::MAX, 0).unwrap().head
    }

    /// Appends an entry behind the head.
    fn add(&self, bytes: &[u8]) -> LogEntry {
        let before = self.head();
        let entry = entry(&before, bytes);
        assert_eq!(self.log.append(&before, &entry), Appended::Made);
        entry
    }

    /// What is behind an index, all of it.
    fn all(&self, after: u64) -> Vec<LogEntry> {
        let mut entries: Vec<LogEntry> = Vec::new();
        for _ in 0..1_000 {
            let last = entries.last().map_or(after, |entry| entry.head.index);
            let part = self.log.read(last, 256).unwrap();
            if part.entries.is_empty() {
                assert_eq!(last, part.head.index);
                return entries;
            }
            entries.extend(part.entries);
        }
        panic!("the log has no end");
    }
}

fn settings(url: String, schema: &str) -> PostgresSettings {
    let schema = schema.to_owned();
    PostgresSettings {
        schema,
        answer_timeout: Duration::from_secs(2),
        ..PostgresSettings::new(url)
    }
}

fn entry(before: &LogHead, bytes: &[u8]) -> LogEntry {
    static IDS: AtomicU64 = AtomicU64::new(1);
    let id = u128::from(IDS.fetch_add(1, Ordering::Relaxed));
    LogEntry::after(before, EntryId(id.to_be_bytes()), bytes.to_vec())
}

/// That entries follow each other from the start.
fn assert_one_order(entries: &[LogEntry]) {
    let mut head = start();
    for entry in entries {
        assert!(entry.follows(&head), "{:?} does not follow {head:?}", entry.head);
        head = entry.head;
    }
}

fn refused(appended: &Appended) -> &str {
    match appended {
        Appended::Refused(why) => why,
        other => panic!("not refused: {other:?}"),
    }
}

fn unknown(appended: &Appended) -> &str {
    match appended {
        Appended::Unknown(why) => why,
        other => panic!("known: {other:?}"),
    }
}

#[test]
fn an_append_is_made_after_the_head_that_it_names_and_once() {
    let Some(server) = PostgresServer::shared() else { return };
    // A word of SQL is a name as any other.
    let node = Fixture::on(&server, "select");
    let (log, from) = (&node.log, start());
    assert_eq!(log.read(0, 256).unwrap(), LogPart { entries: Vec::new(), head: from });
    let first = entry(&from, b"first");
    assert_eq!(log.append(&from, &first), Appended::Made);
    // The same request once more, and another entry in its place.
    assert_eq!(log.append(&from, &first), Appended::Moved(None));
    assert_eq!(log.append(&from, &entry(&from, b"other")), Appended::Moved(None));
    // The index is right, and what is authenticated is not.
    let forked = LogHead { authenticator: Digest::of(&[b"a fork"]), ..first.head };
    assert_eq!(log.append(&forked, &entry(&forked, b"other")), Appended::Moved(None));
    let second = entry(&first.head, b"");
    assert_eq!(log.append(&first.head, &second), Appended::Made);
    let part = log.read(0, 256).unwrap();
    assert_eq!(part, LogPart { entries: vec![first.clone(), second.clone()], head: second.head });
    assert_eq!(log.read(0, 1).unwrap(), LogPart { entries: vec![first], head: second.head });
    assert_eq!(log.read(1, 256).unwrap().entries, std::slice::from_ref(&second));
    assert_eq!(log.read(u64::MAX, 256).unwrap().entries, []);

    let gap = LogEntry { head: LogHead { index: 4, ..second.head }, ..second.clone() };
    assert_eq!(refused(&log.append(&second.head, &gap)), "entry 4 does not follow 2");
    let large = entry(&second.head, &vec![0; ENTRY_BYTES_MAX + 1]);
    assert!(refused(&log.append(&second.head, &large)).contains("larger than 1048576"));
    let largest = entry(&second.head, &vec![0; ENTRY_BYTES_MAX]);
    assert_eq!(log.append(&second.head, &largest), Appended::Made);
    let end = LogHead { index: u64::MAX, ..from };
    assert!(refused(&log.append(&end, &entry(&end, b""))).contains("as many entries as it can"));
}

#[test]
fn what_is_read_is_bounded_by_its_bytes() {
    let Some(server) = PostgresServer::shared() else { return };
    let node = Fixture::on(&server, "large_reads");
    for number in 0..12 {
        node.add(&vec![number; ENTRY_BYTES_MAX]);
    }
    // The bound is reached by the eighth.
    assert_eq!(node.log.read(0, 256).unwrap().entries.len(), 8);
    assert_eq!(node.log.read(0, 3).unwrap().entries.len(), 3);
    assert_eq!(node.log.read(10, 256).unwrap().entries.len(), 2);
    assert_one_order(&node.all(0));

    // One that is larger than any may be is not loaded.
    server.sql("UPDATE large_reads.entries SET bytes = bytes || bytes WHERE index = 3");
    let said = node.log.read(0, 256).unwrap_err();
    assert!(said.contains("the size, 2097152 bytes, of entry 3"), "{said}");
    server.sql("DELETE FROM large_reads.entries WHERE index = 6");
    let said = node.log.read(3, 256).unwrap_err();
    assert!(said.contains("entry 7 has no place after 5"), "{said}");
    server.sql("UPDATE large_reads.head SET index = 10");
    let said = node.log.read(8, 256).unwrap_err();
    assert!(said.contains("entry 11 has no place after 10"), "{said}");
    server.sql("DELETE FROM large_reads.head");
    assert!(node.log.read(8, 256).unwrap_err().contains("the row of its head is missing"));
}

#[test]
fn what_was_trimmed_is_not_read_and_cannot_be_appended_to() {
    let Some(server) = PostgresServer::shared() else { return };
    let node = Fixture::on(&server, "trimmed");
    let entries: Vec<LogEntry> = (0..5).map(|number| node.add(&[number])).collect();
    assert_eq!(node.log.trim(3), Ok(3));
    assert_eq!(node.log.trim(3), Ok(0));
    let part = node.log.read(0, 256).unwrap();
    assert_eq!(part.entries, entries[3..]);
    // A node that slept is behind what was trimmed.
    let (slept, late) = (entries[0].head, entry(&entries[0].head, b"late"));
    assert_eq!(node.log.append(&slept, &late), Appended::Moved(None));
    // The head stays where all is removed.
    assert_eq!(node.log.trim(5), Ok(2));
    assert_eq!(node.log.read(0, 256).unwrap(), LogPart { entries: vec![], head: part.head });
    node.add(b"behind");
    assert_eq!(node.all(5).len(), 1);

    // More than one statement removes.
    server.sql(
        "INSERT INTO trimmed.entries (index, id, authenticator, bytes)
         SELECT n, decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'), ''
         FROM generate_series(7, 2506) AS n",
    );
    server.sql("UPDATE trimmed.head SET index = 2506");
    assert_eq!(node.log.trim(2_400), Ok(2_395));
}

#[test]
fn objects_are_replaced_listed_and_removed() {
    let Some(server) = PostgresServer::shared() else { return };
    let node = Fixture::on(&server, "objects");
    let log = &node.log;
    let largest = vec![9; OBJECT_BYTES_MAX];
    assert_eq!(log.object("nodes/a"), Ok(None));
    for name in ["nodes/b", "nodes/a", "snapshots/a"] {
        log.put_object(name, name.as_bytes()).unwrap();
    }
    log.put_object("nodes/a", &largest).unwrap();
    assert_eq!(log.object("nodes/a"), Ok(Some(largest.clone())), "the newer one");
    assert_eq!(log.object_names("nodes/").unwrap(), ["nodes/a", "nodes/b"]);
    let large = [&largest[..], &[0]].concat();
    assert!(log.put_object("nodes/b", &large).unwrap_err().contains("at most"));
    assert_eq!(log.object("nodes/b"), Ok(Some(b"nodes/b".to_vec())));
    log.remove_object("nodes/a").unwrap();
    log.remove_object("nodes/a").unwrap();
    assert_eq!(log.object_names("").unwrap(), ["nodes/b", "snapshots/a"]);
    // A log of another id writes nothing here, and what is too large is not loaded.
    server.sql("UPDATE objects.objects SET bytes = decode(repeat('00', 1048577), 'hex')");
    assert!(log.object("nodes/b").unwrap_err().contains("altered by hand"));
    server.sql("UPDATE objects.head SET log_id = decode(repeat('09', 16), 'hex')");
    assert!(log.put_object("nodes/c", b"x").unwrap_err().contains("replaced"));
}

#[test]
fn eight_nodes_append_at_once_in_one_order() {
    const EACH: usize = 25;
    let Some(server) = PostgresServer::shared() else { return };
    let node = Fixture::on(&server, "eight");
    let run = |number: u8| {
        let node = Fixture::of(node.settings.clone(), runtime());
        let (mut made, mut moved) = (Vec::new(), 0);
        let mut head = node.head();
        for _ in 0..100_000 {
            if made.len() == EACH {
                break;
            }
            let entry = entry(&head, &[number]);
            match node.log.append(&head, &entry) {
                Appended::Made => {
                    head = entry.head;
                    made.push(entry.id);
                }
                Appended::Moved(_) => {
                    moved += 1;
                    head = node.head();
                }
                other => panic!("{other:?}"),
            }
        }
        (made, moved)
    };
    let outcomes: Vec<_> = thread::scope(|scope| {
        let nodes: Vec<_> = (0..8).map(|number| scope.spawn(move || run(number))).collect();
        nodes.into_iter().map(|node| node.join().unwrap()).collect()
    });
    let entries = node.all(0);
    assert_one_order(&entries);
    let made: HashSet<_> = outcomes.iter().flat_map(|(made, _)| made).collect();
    assert_eq!((entries.len(), made.len()), (8 * EACH, 8 * EACH));
    assert!(entries.iter().all(|entry| made.contains(&entry.id)));
    assert!(outcomes.iter().any(|(_, moved)| *moved > 0), "nobody met anybody");
}

#[test]
fn an_answer_that_is_lost_is_unknown_and_the_id_tells() {
    let Some(server) = PostgresServer::shared() else { return };
    let direct = Fixture::on(&server, "lost");
    let proxy = TcpProxy::to(server.port);
    let node = direct.by_port(&server, proxy.port);
    let mut before = node.add(b"the connections are open").head;
    for (what, arrives) in [(Passing::NoAnswer, true), (Passing::NoRequest, false)] {
        let entry = entry(&before, b"lost");
        proxy.pass(what);
        let said = node.log.append(&before, &entry);
        assert!(!unknown(&said).is_empty());
        if arrives {
            eventually("the entry arrives", || direct.head() == entry.head);
        } else {
            assert_eq!(direct.head(), before);
        }
        // Nothing was sent: there is no connection.
        let said = node.log.append(&before, &entry);
        assert!(refused(&said).starts_with("the log cannot be reached at"), "{said:?}");
        assert!(node.log.read(0, 1).is_err());

        // The same again, as a node does.
        proxy.pass(Passing::All);
        let again = if arrives { Appended::Moved(None) } else { Appended::Made };
        assert_eq!(node.log.append(&before, &entry), again);
        assert_eq!(node.log.read(before.index, 1).unwrap().entries, std::slice::from_ref(&entry));
        before = entry.head;
    }
    assert_one_order(&node.all(0));
}

#[test]
fn a_row_of_another_entry_is_not_taken_for_its_own() {
    let Some(server) = PostgresServer::shared() else { return };
    let fixture = Fixture::on(&server, "of_another");
    server.sql(
        "CREATE FUNCTION of_another.other_id() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN NEW.id := decode(repeat('ab', 16), 'hex'); RETURN NEW; END $$;
        CREATE TRIGGER other_id BEFORE INSERT ON of_another.entries
            FOR EACH ROW EXECUTE FUNCTION of_another.other_id()",
    );
    let next = entry(&start(), b"one");
    let appended = fixture.log.append(&start(), &next);
    assert_eq!(unknown(&appended), "the log answered of another entry");
    let there = fixture.log.read(0, 8).unwrap().entries.remove(0);
    assert_eq!(there.id, EntryId([0xab; 16]));
}

/// Of two appends at once on one connection, the first must not get the answer of the second.
#[test]
fn a_request_that_was_lost_on_the_way_ends_its_connection() {
    let Some(server) = PostgresServer::shared() else { return };
    let proxy = TcpProxy::to(server.port);
    let fixture = Fixture::on(&server, "gap");
    let node = fixture.by_port(&server, proxy.port);
    let before = node.add(b"one").head;
    let (first, second) = (entry(&before, b"first"), entry(&before, b"second"));
    proxy.pass(Passing::Nothing);
    thread::scope(|scope| {
        let lost = scope.spawn(|| node.log.append(&before, &first));
        eventually("the request is lost", || proxy.lost_requests() > 0);
        proxy.pass(Passing::All);
        let after = scope.spawn(|| node.log.append(&before, &second));
        let lost = lost.join().unwrap();
        assert!(unknown(&lost).contains("connection closed"), "{lost:?}");
        after.join().unwrap();
    });
    let there = fixture.all(1);
    assert!(there.iter().all(|found| found.id == second.id), "{there:?}");
}

#[test]
fn a_silent_connection_is_given_up_in_time_and_its_request_may_arrive_late() {
    let Some(server) = PostgresServer::shared() else { return };
    let direct = Fixture::on(&server, "silent");
    let proxy = TcpProxy::to(server.port);
    let mut node = direct.by_port(&server, proxy.port);
    node.settings.connect_timeout = Duration::from_secs(1);
    node.settings.answer_timeout = Duration::from_secs(1);
    let node = Fixture::of(node.settings, node.runtime);
    let before = node.add(b"the connections are open").head;
    let late = entry(&before, b"late");
    proxy.pass(Passing::Later);
    let begun = Instant::now();
    assert_eq!(unknown(&node.log.append(&before, &late)), "the log gave no answer in 1s");
    assert_eq!(node.log.read(0, 1).unwrap_err(), "the log gave no answer in 1s");
    let said = node.log.append(&before, &late);
    assert!(refused(&said).ends_with("no answer in 1s"), "{said:?}");
    node.log.wait_for_change(Duration::from_millis(100));
    node.log.wait_for_change(Duration::from_millis(100));
    node.log.wait_for_change(Duration::from_millis(100));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(direct.head(), before);
    // A host that is silent does not keep from the next one.
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", proxy.port, server.port);
    let mut settings = settings(server.url_by(&hosts), "silent");
    settings.connect_timeout = Duration::from_secs(3);
    assert_eq!(Fixture::of(settings, runtime()).head(), before);

    proxy.pass(Passing::All);
    eventually("the request arrives", || direct.head() == late.head);
    assert_eq!(node.log.append(&before, &late), Appended::Moved(None));
    assert_eq!(node.log.read(before.index, 1).unwrap().entries, [late]);
}

#[test]
fn a_killed_server_loses_nothing_that_was_made() {
    let Some(mut server) = PostgresServer::start(&[]) else { return };
    let node = Fixture::on(&server, "killed");
    for _ in 0..3 {
        let stop = AtomicBool::new(false);
        let mut before = node.head();
        let already = before.index;
        thread::scope(|scope| {
            let burst = scope.spawn(|| {
                let mut made = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let entry = entry(&before, b"burst");
                    match node.log.append(&before, &entry) {
                        Appended::Made => before = entry.head,
                        _ => return made,
                    }
                    made.push(entry);
                }
                made
            });
            let watch = Fixture::of(node.settings.clone(), runtime());
            eventually("appends are made", || watch.head().index >= already + 10);
            server.kill();
            stop.store(true, Ordering::Relaxed);
            let made = burst.join().unwrap();
            assert!(made.len() >= 10);
            server.run();
            let found = node.all(already);
            assert_eq!(found[..made.len()], made);
            // The last one was on its way.
            assert!(found.len() <= made.len() + 1, "{} {}", found.len(), made.len());
        });
    }
    assert_one_order(&node.all(0));
    node.add(b"it goes on");
}

#[test]
fn sessions_that_end_in_a_burst_lose_and_double_nothing() {
    let Some(server) = PostgresServer::start(&[]) else { return };
    let node = Fixture::on(&server, "ended");
    let stop = AtomicBool::new(false);
    let (made, unclear) = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                server.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE application_name = 'kwic-team'",
                );
            }
        });
        let (mut made, mut unclear) = (Vec::new(), 0);
        let mut head = start();
        let begun = Instant::now();
        while (made.len() < 50 || unclear < 5) && begun.elapsed() < Duration::from_secs(30) {
            let entry = entry(&head, b"burst");
            let mut was_unclear = false;
            // What a node does, until it is known.
            let is_made = loop {
                match node.log.append(&head, &entry) {
                    Appended::Made => break true,
                    Appended::Moved(_) => {
                        let Ok(part) = node.log.read(head.index, 1) else { continue };
                        break part.entries.first().is_some_and(|found| found.id == entry.id);
                    }
                    Appended::Refused(_) if !was_unclear => break false,
                    Appended::Refused(_) => {}
                    Appended::Unknown(_) => {
                        was_unclear = true;
                        unclear += 1;
                    }
                }
                assert!(begun.elapsed() < Duration::from_secs(60));
            };
            if is_made {
                head = entry.head;
                made.push(entry);
            }
        }
        stop.store(true, Ordering::Relaxed);
        (made, unclear)
    });
    assert!(made.len() >= 50 && unclear >= 5, "{} {unclear}", made.len());
    eventually("the log is read", || node.log.read(0, 1).is_ok());
    assert_eq!(node.all(0), made);
}

#[test]
fn a_change_wakes_who_waits() {
    let Some(server) = PostgresServer::shared() else { return };
    let node = Fixture::on(&server, "wakes");
    let other = Fixture::of(node.settings.clone(), runtime());
    let long = Duration::from_secs(10);
    node.head();
    let begun = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(200));
            other.add(b"news");
        });
        node.log.wait_for_change(long);
    });
    assert_eq!(node.head().index, 1);
    // What comes between reading and waiting is not missed.
    other.add(b"news");
    node.log.wait_for_change(long);
    // The end of the connection is told, once.
    server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE query LIKE '%wakes%LEFT JOIN%' AND pid <> pg_backend_pid()",
    );
    node.log.wait_for_change(long);
    assert!(begun.elapsed() < long, "{:?}", begun.elapsed());
    let begun = Instant::now();
    node.log.wait_for_change(Duration::from_millis(200));
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[test]
fn what_the_server_says_decides_between_refused_and_unknown() {
    let Some(server) = PostgresServer::shared() else { return };
    let node = Fixture::on(&server, "said");
    server.sql(
        "CREATE FUNCTION said.fail() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN RAISE EXCEPTION 'planned' USING ERRCODE = TG_ARGV[0]; END$$",
    );
    let when_inserted = |code: &str| {
        format!(
            "CREATE TRIGGER fails BEFORE INSERT ON said.entries
             FOR EACH ROW EXECUTE FUNCTION said.fail('{code}')"
        )
    };
    // Fails after the statement has been answered with its row, and before the transaction ends.
    let when_committed = |code: &str| {
        format!(
            "CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON said.entries INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION said.fail('{code}')"
        )
    };
    for trigger in [&when_inserted as &dyn Fn(&str) -> String, &when_committed] {
        for (code, is_certain) in [
            ("53100", true),
            ("57014", true),
            ("25006", true),
            ("40001", true),
            ("58030", true),
            ("XX000", true),
            ("40003", false),
            ("08007", false),
            ("08006", false),
            ("57P01", false),
        ] {
            server.sql(&trigger(code));
            let before = node.head();
            let said = node.log.append(&before, &entry(&before, b"x"));
            let why = if is_certain { refused(&said) } else { unknown(&said) };
            assert!(why.starts_with(&format!("planned ({code})")), "{why}");
            assert_eq!(node.head(), before);
            assert_eq!(node.all(0), []);
            server.sql("DROP TRIGGER fails ON said.entries");
        }
    }
    node.add(b"sound again");
}

#[test]
fn a_lock_that_somebody_holds_is_waited_for_in_bounds() {
    let Some(server) = PostgresServer::shared() else { return };
    // Users may have this set: there, who waited for a row is refused.
    let url = format!("{}?options=-c%20default_transaction_isolation%3Dserializable", server.url());
    let node = Fixture::made(settings(url, "locked"));
    let before = node.add(b"the connections are open").head;
    let hold = |seconds: f32| {
        let text = format!(
            "BEGIN; UPDATE locked.head SET format = format; SELECT pg_sleep({seconds}); COMMIT"
        );
        let holder = server.psql(&text).stdout(Stdio::null()).spawn().unwrap();
        eventually("the lock is held", || {
            server.sql(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE query LIKE '%UPDATE locked.head%' AND wait_event = 'PgSleep'",
            ) != "0"
        });
        holder
    };
    let mut holder = hold(2.0);
    let begun = Instant::now();
    let said = node.log.append(&before, &entry(&before, b"waits"));
    assert!(refused(&said).contains("(55P03)"), "{said:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    // Reading waits for nobody.
    assert_eq!(node.head(), before);
    assert!(holder.wait().unwrap().success());

    let mut holder = hold(0.3);
    assert_eq!(node.log.append(&before, &entry(&before, b"waits")), Appended::Made);
    assert!(holder.wait().unwrap().success());

    // The session ends while it waits.
    let patient = Duration::from_secs(10);
    let settings = PostgresSettings { answer_timeout: patient, ..node.settings };
    let node = Fixture::of(settings, runtime());
    let before = node.head();
    let mut holder = hold(3.0);
    let said = thread::scope(|scope| {
        let append = scope.spawn(|| node.log.append(&before, &entry(&before, b"ends")));
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE query LIKE '%UPDATE \"locked\".head%' AND wait_event_type = 'Lock'";
        eventually("it waits", || server.sql(end) == "1");
        append.join().unwrap()
    });
    assert!(unknown(&said).contains("(57P01)"), "{said:?}");
    assert!(holder.wait().unwrap().success());
    node.add(b"free");
}

#[test]
fn a_server_that_answers_before_it_wrote_is_refused() {
    let Some(server) = PostgresServer::shared() else { return };
    let node = Fixture::on(&server, "durable");
    for (setting, is_taken) in
        [("off", false), ("local", false), ("on", true), ("remote_write", true)]
    {
        let url = format!("{}?options=-c%20synchronous_commit%3D{setting}", server.url());
        let node = Fixture::of(PostgresSettings { url, ..node.settings.clone() }, runtime());
        let read = node.log.read(0, 1);
        assert_eq!(read.is_ok(), is_taken, "{setting}: {read:?}");
        let Err(why) = read else { continue };
        let what = format!("`synchronous_commit` is `{setting}` there");
        assert!(why.contains(&what) && why.contains("set it to `on`"), "{why}");
        assert!(refused(&node.log.append(&start(), &entry(&start(), b""))).contains(&what));
        let made =
            PostgresLog::create(&node.settings, node.runtime.handle(), LOG, &start()).unwrap_err();
        assert!(made.contains(&what), "{made}");
    }
    // A session that was taken stays so, whatever the server is told later.
    let Some(server) = PostgresServer::start(&[]) else { return };
    let node = Fixture::on(&server, "durable");
    node.add(b"x");
    server.sql(
        "CREATE FUNCTION durable.look() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN RAISE EXCEPTION '%', current_setting('synchronous_commit'); END$$",
    );
    server.sql(
        "CREATE TRIGGER looks BEFORE INSERT ON durable.entries
        FOR EACH ROW EXECUTE FUNCTION durable.look()",
    );
    server.set("synchronous_commit = off");
    thread::sleep(Duration::from_millis(200));
    let before = node.head();
    let said = node.log.append(&before, &entry(&before, b"x"));
    assert!(refused(&said).starts_with("on ("), "{said:?}");
}

#[test]
fn a_wrong_address_is_told_apart() {
    let Some(server) = PostgresServer::shared() else { return };
    let node = Fixture::on(&server, "addresses");
    let said = |url: String| {
        let node = Fixture::of(PostgresSettings { url, ..node.settings.clone() }, runtime());
        let read = node.log.read(0, 1).unwrap_err();
        assert!(!read.contains("secret") && !read.contains("of-the-tests"), "{read}");
        assert_eq!(refused(&node.log.append(&start(), &entry(&start(), b""))), read);
        read
    };
    let port = server.port;
    let at = format!("the log cannot be reached at `127.0.0.1:{port}`: ");
    let why = said(server.url_by("127.0.0.1:1"));
    assert!(why.contains("`127.0.0.1:1`") && why.contains("Connection refused"), "{why}");
    let why = said(format!("postgresql://team:secret@127.0.0.1:{port}/postgres"));
    assert!(why.starts_with(&at) && why.contains("(28P01): compare user and password"), "{why}");
    let why = said(format!("postgresql://nobody:secret@127.0.0.1:{port}/postgres"));
    assert!(why.contains("(28P01): compare user and password"), "{why}");
    let why = said(format!("postgresql://team:of-the-tests@127.0.0.1:{port}/other"));
    assert!(why.contains("\"other\" does not exist (3D000): create the database"), "{why}");
    let why = said(format!("{}?sslmode=require", server.url()));
    assert!(why.contains("server does not support TLS"), "{why}");
    // Something that does not speak, and something that speaks otherwise.
    let proxy = TcpProxy::to(port);
    proxy.pass(Passing::NoAnswer);
    let why = said(server.url_by(&format!("127.0.0.1:{}", proxy.port)));
    assert!(why.contains("connection closed") || why.contains("unexpected"), "{why}");
    // The socket needs no password here.
    let folder = server.path("");
    let url = format!("host={} port={port} user=team dbname=postgres", folder.display());
    let by_socket = Fixture::of(PostgresSettings { url, ..node.settings.clone() }, runtime());
    assert_eq!(by_socket.head(), start());
}

#[test]
fn a_log_that_is_missing_another_one_or_newer_is_told_apart() {
    let Some(server) = PostgresServer::shared() else { return };
    let none = settings(server.url(), "none_yet");
    let runtime = runtime();
    let node = PostgresLog::open(&none, runtime.handle().clone(), LOG).unwrap();
    let no_log = "there is no log in the schema `none_yet`: make one with `kwic-team fleet init`";
    assert!(node.read(0, 1).unwrap_err().starts_with(no_log));
    assert!(refused(&node.append(&start(), &entry(&start(), b""))).starts_with(no_log));
    assert_eq!(PostgresLog::inspect(&none, runtime.handle()), Ok(None));
    // Opening made nothing.
    assert_eq!(server.sql("SELECT to_regnamespace('none_yet') IS NULL"), "t");

    // A schema that an administrator has made, and a log that begins in the middle.
    server.sql("CREATE SCHEMA none_yet");
    let from = LogHead { index: 41, ..start() };
    PostgresLog::create(&none, runtime.handle(), LOG, &from).unwrap();
    assert_eq!(PostgresLog::inspect(&none, runtime.handle()), Ok(Some((LOG, from))));
    assert_eq!(node.append(&from, &entry(&from, b"")), Appended::Made);
    let again = PostgresLog::create(&none, runtime.handle(), LogId([8; 16]), &start()).unwrap_err();
    assert!(again.starts_with("the schema `none_yet` holds a log already"), "{again}");
    assert_eq!(node.read(41, 1).unwrap().entries.len(), 1);

    // Another deployment made its log here, while this node was connected and before.
    server.sql("UPDATE none_yet.head SET log_id = decode(repeat('09', 16), 'hex')");
    let head = LogHead { ..node_head(&server, "none_yet") };
    assert_eq!(node.append(&head, &entry(&head, b"")), Appended::Moved(None));
    let other = PostgresLog::open(&none, runtime.handle().clone(), LOG).unwrap();
    for node in [&node, &other] {
        let said = node.read(0, 1).unwrap_err();
        assert!(said.contains("holds the log 0909") && said.contains("of 0707"), "{said}");
    }
    assert!(refused(&other.append(&head, &entry(&head, b""))).contains("holds the log 0909"));

    server.sql("UPDATE none_yet.head SET log_id = decode(repeat('07', 16), 'hex'), format = 2");
    assert_eq!(
        other.append(&head, &entry(&head, b"")),
        Appended::Refused(other.read(0, 1).unwrap_err())
    );
    assert_eq!(node.append(&head, &entry(&head, b"")), Appended::Moved(None));
    let said = node.read(0, 1).unwrap_err();
    assert!(said.contains("is of format 2, and this version reads 1"), "{said}");
    assert!(PostgresLog::inspect(&none, runtime.handle()).unwrap_err().contains("format 2"));
    let at_once: Vec<_> = thread::scope(|scope| {
        let none = PostgresSettings { schema: "at_once".to_owned(), ..none.clone() };
        let makers: Vec<_> = (0..4)
            .map(|number| {
                let (none, runtime) = (none.clone(), &runtime);
                scope.spawn(move || {
                    PostgresLog::create(&none, runtime.handle(), LogId([number; 16]), &start())
                })
            })
            .collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect()
    });
    assert_eq!(at_once.iter().filter(|made| made.is_ok()).count(), 1, "{at_once:?}");
    for fault in at_once.iter().filter_map(|made| made.as_ref().err()) {
        assert!(fault.contains("holds a log already"), "{fault}");
    }
}

/// The head, as the server has it.
fn node_head(server: &PostgresServer, schema: &str) -> LogHead {
    let text =
        server.sql(&format!("SELECT index, encode(authenticator, 'hex') FROM {schema}.head"));
    let (index, authenticator) = text.split_once('|').unwrap();
    let authenticator = Digest::from_hex(authenticator).unwrap();
    LogHead { index: index.parse().unwrap(), authenticator }
}

#[test]
fn a_server_that_takes_no_changes_is_refused() {
    let Some(server) = PostgresServer::start(&[]) else { return };
    let node = Fixture::on(&server, "read_only");
    let before = node.add(b"the connections are open").head;
    server.set("default_transaction_read_only = on");
    // An open session is told, and answers so.
    let said = std::cell::RefCell::new(Appended::Moved(None));
    eventually("the server reads its settings", || {
        let head = node_head(&server, "read_only");
        *said.borrow_mut() = node.log.append(&head, &entry(&head, b"x"));
        *said.borrow() != Appended::Made
    });
    let said = said.into_inner();
    assert!(refused(&said).contains("(25006): the server takes no changes now"), "{said:?}");
    // So does a new one.
    let said = node.log.append(&before, &entry(&before, b"x"));
    assert!(refused(&said).contains("database does not allow writes"), "{said:?}");
    server.sql("ALTER SYSTEM RESET default_transaction_read_only");
    server.sql("SELECT pg_reload_conf()");
    eventually("the server reads its settings", || node.log.read(0, 1).is_ok());
    node.add(b"x");
}

#[test]
fn a_failover_is_followed_and_what_it_lost_is_seen() {
    let Some(mut first) = PostgresServer::start(&[]) else { return };
    let standby = first.standby();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", standby.port, first.port);
    let mut settings = settings(first.url_by(&hosts), "failover");
    settings.connect_timeout = Duration::from_secs(2);
    let node = Fixture::made(settings);
    // The standby is named first, and takes no changes.
    let kept = node.add(b"kept");
    let arrived = || standby.sql("SELECT count(*) FROM pg_class WHERE relname = 'entries'") == "1";
    eventually("the standby has the log", arrived);
    eventually("the standby has the entry", || {
        standby.sql("SELECT count(*) FROM failover.entries") == "1"
    });
    // Cut off from what comes now, as over a network that fails first.
    standby.set("primary_conninfo = ''");
    eventually("it receives nothing", || {
        standby.sql("SELECT count(*) FROM pg_stat_wal_receiver") == "0"
    });
    let lost = node.add(b"lost");
    // All its processes: one that outlives the first one may still answer.
    first.stop_at_once();
    let said = node.log.append(&lost.head, &entry(&lost.head, b"x"));
    assert!(matches!(said, Appended::Refused(_) | Appended::Unknown(_)), "{said:?}");
    standby.promote();
    let part = node.log.read(lost.head.index, 256).unwrap();
    // The head goes back: what this means is the caller's to say.
    assert_eq!(part, LogPart { entries: vec![], head: kept.head });
    assert_eq!(node.log.append(&lost.head, &entry(&lost.head, b"x")), Appended::Moved(None));
    node.add(b"after");
}

/// Makes an authority and a certificate with it, for names and a time from now in days.
fn certificate(folder: &Path, name: &str, names: &str, days: &str) -> Option<()> {
    if !is_there("openssl", Command::new("which").arg("openssl")) {
        return None;
    }
    let openssl = |arguments: String| {
        let mut openssl = Command::new("openssl");
        let output = openssl.current_dir(folder).args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "{arguments}: {output:?}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(format!(
        "req -x509 {key} -keyout {name}.ca.key -out {name}.ca -subj /CN={name} -days 9"
    ));
    openssl(format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
    fs::write(folder.join("names"), format!("subjectAltName={names}\n")).unwrap();
    openssl(format!(
        "x509 -req -in {name}.csr -CA {name}.ca -CAkey {name}.ca.key -CAcreateserial -out {name}.crt -days {days} -extfile names"
    ));
    Some(())
}

/// Has a server show a certificate.
fn use_certificate(server: &mut PostgresServer, folder: &Path, name: &str) {
    for ending in ["crt", "key"] {
        let path = server.path(&format!("server.{ending}"));
        fs::copy(folder.join(format!("{name}.{ending}")), &path).unwrap();
        server.give(&path);
    }
    for setting in ["ssl = on", "ssl_cert_file = '../server.crt'", "ssl_key_file = '../server.key'"]
    {
        server.set(setting);
    }
    server.kill();
    server.run();
}

#[test]
fn tls_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    for (name, names, days) in [
        ("good", "DNS:localhost,IP:127.0.0.1", "9"),
        ("expired", "DNS:localhost", "0"),
        ("elsewhere", "DNS:db.example", "9"),
    ] {
        if certificate(folder.path(), name, names, days).is_none() {
            return;
        }
    }
    let Some(mut server) = PostgresServer::start(&[]) else { return };
    let plain = Fixture::on(&server, "by_tls");
    let port = server.port;
    let by = |host: &str, ca: Option<&str>| {
        let url =
            format!("postgresql://team:of-the-tests@{host}:{port}/postgres?sslmode=verify-full");
        let ca_file = ca.map(|name| folder.path().join(name));
        let settings = PostgresSettings { url, ca_file, ..plain.settings.clone() };
        let node = Fixture::of(settings, runtime());
        node.log.read(0, 1).map(|part| part.head)
    };
    use_certificate(&mut server, folder.path(), "good");
    assert_eq!(by("localhost", Some("good.ca")), Ok(start()));
    assert_eq!(by("127.0.0.1", Some("good.ca")), Ok(start()));
    let encrypted = Fixture::of(
        PostgresSettings {
            url: format!(
                "postgresql://team:of-the-tests@localhost:{port}/postgres?sslmode=require"
            ),
            ca_file: Some(folder.path().join("good.ca")),
            ..plain.settings.clone()
        },
        runtime(),
    );
    encrypted.add(b"x");
    let by_tls = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'kwic-team' AND query LIKE '%by_tls%'";
    assert_eq!(server.sql(by_tls), "t");
    let unknown = by("localhost", None).unwrap_err();
    assert!(unknown.contains("from no authority that is trusted here: name the file"), "{unknown}");
    let unknown = by("localhost", Some("elsewhere.ca")).unwrap_err();
    assert!(unknown.contains("from no authority that is trusted here"), "{unknown}");
    use_certificate(&mut server, folder.path(), "expired");
    let expired = by("localhost", Some("expired.ca")).unwrap_err();
    assert!(expired.contains("its certificate has expired: renew it"), "{expired}");
    use_certificate(&mut server, folder.path(), "elsewhere");
    let elsewhere = by("localhost", Some("elsewhere.ca")).unwrap_err();
    assert!(elsewhere.contains("its certificate names another host"), "{elsewhere}");

    let no_file = |path: &str| {
        let ca_file = Some(folder.path().join(path));
        let settings = PostgresSettings { ca_file, ..plain.settings.clone() };
        PostgresLog::open(&settings, plain.runtime.handle().clone(), LOG).unwrap_err()
    };
    assert!(no_file("missing").contains("is no file of PEM certificates"));
    assert!(no_file("names").contains("has no PEM certificate of an authority"));
}
