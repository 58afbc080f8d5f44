//! Budgets: the requests of a page and its bytes. Never measures time.

use super::browser::{Browser, is_there};
use super::user_journeys::Office;

/// The most that a first page may weigh in all, uncompressed: the one before signing in, and the one
/// after it.
const FIRST_PAGE_BYTES_MAX: u64 = 63_000;

/// Members beside those who have a password.
pub fn grow(office: &Office, count: usize) {
    let mut file = String::from("first_name,last_name,email,role\n");
    for number in 0..count {
        file.push_str(&format!("Member,Number {number},n{number}@example.org,operator\n"));
    }
    let path = office.sidecar.path("many.csv");
    std::fs::write(&path, file).unwrap();
    office.sidecar.ok(&["member", "import", path.to_str().unwrap()]);
}

/// What a page asked the server for, once it is quiet: address and decoded bytes.
async fn requests(browser: &Browser) -> Vec<(String, u64)> {
    let script = "const done = arguments[arguments.length - 1];
        const all = () => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
        let before = -1;
        let quiet = 0;
        const look = () => {
            const now = all();
            quiet = now.length === before && document.readyState === 'complete' ? quiet + 1 : 0;
            if (quiet === 3) return done(now.map((it) => [it.name, it.decodedBodySize]));
            before = now.length;
            setTimeout(look, 500);
        };
        look();";
    let found = browser.ask_later(script, Vec::new()).await;
    let found = found.as_array().unwrap().iter();
    found.map(|it| (it[0].as_str().unwrap().to_owned(), it[1].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn a_page_asks_for_no_row_and_is_light() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator")]);
    grow(&office, 120);
    let browser = office.browser().await;
    browser.open("/sign-in").await;
    let sign_in = requests(&browser).await;
    browser.leave().await;
    let browser = office.browser_of("chief", "/team?rows=25").await;
    let few = requests(&browser).await;
    browser.open("/team?rows=100").await;
    let rows = browser.ask("return document.querySelectorAll('tbody tr').length", vec![]).await;
    assert_eq!(rows, 100);
    let many = requests(&browser).await;
    assert_eq!(few.len(), many.len(), "{few:#?}\n{many:#?}");
    for (page, requests) in [("sign-in", &sign_in), ("team", &few)] {
        let bytes: u64 = requests.iter().map(|(_, bytes)| bytes).sum();
        println!("{page}: {} requests, {bytes} bytes", requests.len());
        assert!(requests.len() >= 3 && bytes > 5_000, "{requests:#?}");
        assert!(bytes < FIRST_PAGE_BYTES_MAX, "{page}: {requests:#?}");
    }
    browser.leave().await;
}
