//! Starting, refusing to start, stopping, and a policy folder of another product.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{TryRecvError, channel};
use std::thread;

use serde_json::json;

use crate::support::sidecar::{
    Connection, PATIENCE, Sidecar, Start, binary, command, copy_folder, eventually, question,
    shipped_policies,
};

#[test]
fn the_demo_prints_a_line_that_is_allowed_and_one_that_is_denied() {
    let home = tempfile::tempdir().unwrap();
    fs::write(
        home.path().join("kwic-team.toml"),
        "[console]\nlisten = \"127.0.0.1:0\"\n[decision]\nlisten = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let mut child = Command::new(binary())
        .args(["serve", "--demo"])
        .current_dir(home.path())
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .take_while(|line| line != "ready")
        .collect();
    let mut answers = Vec::new();
    for line in lines.iter().filter(|line| line.contains("curl -s http://")) {
        let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap();
        let body = line.split('\'').nth(3).unwrap();
        let stream = std::net::TcpStream::connect(address).unwrap();
        answers.push(Connection::new(stream).allows(&serde_json::from_str(body).unwrap()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(answers, [true, false], "{lines:?}");
    assert!(!home.path().join("kwic-data").exists(), "a demonstration leaves nothing behind");
}

#[test]
fn another_namespace_other_roles_types_and_actions() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    fs::create_dir_all(policies.join("roles")).unwrap();
    fs::create_dir_all(policies.join("rules")).unwrap();
    let write = |path: &str, text: &str| fs::write(policies.join(path), text).unwrap();
    write(
        "schema.cedarschema",
        r#"
        entity Account;
        entity Role in [Role];
        entity Robot in [Role];
        entity User in [Role, Account] = { account: Account, active: Bool };
        entity FlightPlan in [Account] = { account?: Account, owner?: User, height: Long };
        action fly, land appliesTo {
            principal: [User, Robot], resource: FlightPlan, context: { weather?: String }
        };
        "#,
    );
    write(
        "roles/pilot.cedar",
        r#"@id("pilot") @role("pilot") @title("Pilot") @summary("Flies.") @best_for("Pilots.")
        permit(principal in Role::"crew", action in [Action::"fly", Action::"land"], resource)
        when { resource.height < 1000 || context has weather && context.weather == "clear" };"#,
    );
    write(
        "rules/own.cedar",
        r#"@id("own") forbid(principal is User, action, resource) unless { resource in principal.account && principal.active };
        @id("grounded") forbid(principal, action == Action::"fly", resource) when { resource has owner && !resource.owner.active };"#,
    );
    write(
        "entities.json",
        r#"[{"uid":{"type":"Role","id":"pilot"},"attrs":{},"parents":[{"type":"Role","id":"crew"}]},
            {"uid":{"type":"Role","id":"crew"},"attrs":{},"parents":[]},
            {"uid":{"type":"Robot","id":"r2"},"attrs":{},"parents":[{"type":"Role","id":"pilot"}]}]"#,
    );
    let sidecar = Sidecar::start_with(&Start { policies: Some(policies), ..Start::default() });
    sidecar.account("air");
    sidecar.members("air", &[("amelia", "pilot"), ("owner", "pilot")]);
    let mut unix = sidecar.unix();
    let mut fly =
        |subject: (&str, &str), properties: serde_json::Value, context: serde_json::Value| {
            let answer = unix.post(
                "/access/v1/evaluation",
                &json!({
                    "subject": {"type": subject.0, "id": subject.1},
                    "action": {"name": "fly"},
                    "resource": {"type": "flight_plan", "id": "p", "properties": properties},
                    "context": context,
                    "options": {"explain": true},
                }),
            );
            let answer = answer.json();
            (answer["decision"] == true, answer["context"]["reason"].as_str().unwrap().to_owned())
        };
    let amelia = ("user", "amelia");
    let low = json!({"account": "air", "height": 100});
    assert!(fly(amelia, low.clone(), json!({})).0);
    assert!(fly(("robot", "r2"), low, json!({})).0);
    let high = json!({"account": "air", "height": 9000});
    assert!(!fly(amelia, high.clone(), json!({})).0);
    assert!(fly(amelia, high.clone(), json!({"weather": "clear", "ignored": [1]})).0);
    assert_eq!(fly(amelia, high, json!({"weather": 7})).1, "bad_attributes");
    assert_eq!(fly(amelia, json!({"account": "air"}), json!({})).1, "bad_attributes");
    assert_eq!(fly(amelia, json!({"account": "sea", "height": 1}), json!({})).1, "other_account");
    let owned = json!({"account": "air", "height": 1, "owner": "owner"});
    assert!(fly(amelia, owned.clone(), json!({})).0);
    sidecar.ok(&["member", "suspend", "owner"]);
    assert!(!fly(amelia, owned, json!({})).0);
    // Whether an owner whom nobody knows is active cannot be said: a forbid that errs denies.
    let unknown = json!({"account": "air", "height": 1, "owner": "nobody"});
    assert_eq!(fly(amelia, unknown, json!({})), (false, "forbid_erred".to_owned()));
    let matrix = sidecar.ok(&["role", "compare"]);
    assert!(matrix.contains("fly\tflight_plan\tdepends"), "{matrix}");
}

#[test]
fn a_second_sidecar_on_the_same_data_is_refused() {
    let sidecar = Sidecar::start();
    let output = command(sidecar.home.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("another process answers on"), "{message}");
}

#[test]
fn broken_policies_and_no_good_set_refuse_the_start() {
    let home = tempfile::tempdir().unwrap();
    copy_folder(&shipped_policies(), &home.path().join("policies"));
    fs::write(home.path().join("policies/rules/tenancy.cedar"), "forbid(").unwrap();
    let config = format!(
        "[console]\nlisten = \"127.0.0.1:0\"\n[decision]\nlisten = \"127.0.0.1:0\"\n[policies]\ndir = \"{}/policies\"\n",
        home.path().display()
    );
    fs::write(home.path().join("kwic-team.toml"), config).unwrap();
    for arguments in [&[][..], &["--check"]] {
        let output = command(home.path()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains("rules/tenancy.cedar:1: "), "{message}");
    }
}

#[test]
fn a_damaged_store_refuses_the_start_and_is_never_made_anew() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.kill();
    let file = sidecar.path("data/kwic.redb");
    let whole = fs::read(&file).unwrap();
    for (damage, bytes) in [
        ("empty", Vec::new()),
        ("cut off", whole[..whole.len() / 2].to_vec()),
        ("something else", b"not a store at all, just some text".repeat(100)),
    ] {
        fs::write(&file, &bytes).unwrap();
        let output = command(sidecar.home.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{damage}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains("restore a backup"), "{damage}: {message}");
        let left = fs::read(&file).unwrap() == bytes;
        assert!(left || damage == "cut off", "{damage}: the file was changed");
    }
    fs::write(&file, whole).unwrap();
    sidecar.restart();
    assert!(sidecar.ok(&["account", "list"]).starts_with("acme"));
}

/// How the kernel ranks a thread: fields 19 and 41 of `proc_pid_stat(5)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Thread {
    name: String,
    nice: i32,
    is_idle: bool,
}

fn threads(pid: u32) -> Vec<Thread> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let stats = threads.filter_map(|thread| {
        // A thread may end meanwhile.
        fs::read_to_string(thread.unwrap().path().join("stat")).ok()
    });
    let thread = |stat: String| {
        let (name, fields) = stat.rsplit_once(") ").unwrap();
        let name = name.split_once('(').unwrap().1.to_owned();
        let field = |number: usize| fields.split(' ').nth(number - 3).unwrap().parse().unwrap();
        Thread { name, nice: field(19), is_idle: field(41) == SCHED_IDLE }
    };
    stats.map(thread).collect()
}

/// Of `sched(7)`.
const SCHED_IDLE: i32 = 5;

fn named(threads: &[Thread], name: &str) -> Vec<i32> {
    threads.iter().filter(|thread| thread.name == name).map(|thread| thread.nice).collect()
}

#[test]
fn management_stands_behind_decisions() {
    let sidecar = Sidecar::start();
    // What is written to the disk is written by such a thread too.
    sidecar.account("acme");
    let threads = threads(sidecar.pid());
    let [decisions, management, main] =
        ["decisions", "management", "kwic-team"].map(|name| named(&threads, name));
    let [own] = main[..] else { panic!("{main:?}") };
    assert!(decisions.len() > 1 && decisions.iter().all(|nice| *nice == own), "{decisions:?}");
    assert!(management.len() > 2, "{management:?}");
    assert!(management.iter().all(|nice| *nice == own.max(5)), "{management:?}");
}

#[test]
fn a_reload_has_the_priority_of_the_process_and_only_hashes_may_be_idle_for_now() {
    let sidecar = Sidecar::start_with(&Start { unwatched: true, ..Start::default() });
    let pid = sidecar.pid();
    let own: BTreeSet<i32> = named(&threads(pid), "kwic-team").into_iter().collect();
    let (stop, stopped) = channel::<()>();
    let looking = thread::spawn(move || {
        let mut seen = BTreeSet::new();
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            seen.extend(threads(pid));
        }
        seen
    });
    // Each takes long enough to be seen, as a rule.
    for round in 0..5 {
        let rule = sidecar.path("policies/rules/tenancy.cedar");
        let text = fs::read_to_string(&rule).unwrap();
        fs::write(&rule, format!("{text}\n// {round}.\n")).unwrap();
        sidecar.ok(&["policy", "reload"]);
        // A password is hashed for unknown logins, too.
        let nobody = json!({"account": "acme", "email": format!("n{round}@example.org"), "password": "correct horse battery"});
        let stream = TcpStream::connect(&sidecar.console).unwrap();
        let answer = Connection::new(stream).post("/api/v1/sign-in", &nobody);
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    stop.send(()).unwrap();
    let seen: Vec<Thread> = looking.join().unwrap().into_iter().collect();
    let idle: Vec<&Thread> = seen.iter().filter(|thread| thread.is_idle).collect();
    // A hash that gets no time there is begun again elsewhere.
    let may_be = ["cross-check", "hash"];
    assert!(idle.iter().all(|thread| may_be.contains(&thread.name.as_str())), "{idle:?}");
    assert!(idle.iter().any(|thread| thread.name == "hash"), "{seen:?}");
    assert_eq!(BTreeSet::from_iter(named(&seen, "policies")), own);
}

#[test]
fn a_signal_ends_it_with_grace() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "operator")]);
    let mut warm = sidecar.tcp();
    assert!(warm.allows(&question("ann", "chats:view", ("chat", "c"), "acme")));
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait(), Some(0));
    assert!(!sidecar.path("data/admin.sock").exists());
    assert!(!sidecar.path("decide.sock").exists());
    let output = sidecar.run(&["account", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no sidecar answers at"));
}

#[test]
fn one_bad_line_in_ten_thousand_imports_nothing() {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    let mut file = String::from("first_name,last_name,email,role\n");
    for number in 0..10_000 {
        let role = if number == 7_654 { "wizard" } else { "operator" };
        file.push_str(&format!("Ann,Example,a{number}@example.org,{role}\n"));
    }
    let path = sidecar.path("members.csv");
    fs::write(&path, &file).unwrap();
    let output = sidecar.run(&["member", "import", path.to_str().unwrap()]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("line 7656") && message.contains("wizard"), "{message}");
    assert_eq!(sidecar.ok(&["member", "list"]), "");
    fs::write(&path, file.replace("wizard", "operator")).unwrap();
    let done = sidecar.ok(&["member", "import", path.to_str().unwrap()]);
    assert!(done.starts_with("10000 members"), "{done}");
    assert_eq!(sidecar.ok(&["member", "list"]).lines().count(), 10_000);
}

#[test]
fn the_log_says_as_much_as_it_is_told_to_and_names_the_request() {
    let told = |config: &str| {
        let sidecar = Sidecar::start_with(&Start { config: config.to_owned(), ..Start::default() });
        sidecar.account("acme");
        sidecar.members("acme", &[("ann", "operator")]);
        sidecar.unix().allows(&question("ann", "chats:view", ("chat", "c"), "acme"));
        let asked = sidecar.unix().send(
            "GET",
            "/access/v1/search/action?secret=1",
            "x-request-id: mine-7\r\n",
            "",
        );
        assert!(asked.status >= 400);
        sidecar.log_text()
    };
    let usual = told("");
    assert!(usual.contains("started") && !usual.contains("answered"), "{usual}");
    let all = told("[telemetry]\nlog_level = \"debug\"");
    let line =
        |words: &[&str]| all.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(line(&["/access/v1/evaluation\"", "answered", "status=200"]), "{all}");
    assert!(line(&["GET", "/access/v1/search/action\"", "mine-7", "answered"]), "{all}");
    assert!(line(&["/api/v1/accounts\"", "answered", "status=201"]), "{all}");
    assert!(!all.contains("secret=1"), "{all}");
    let errors = told("[telemetry]\nlog_level = \"error\"");
    assert!(!errors.contains("started"), "{errors}");
}

/// Its log goes to a pipe that nobody reads, as a terminal that is held or a log shipper that hangs.
#[test]
fn nothing_waits_for_whatever_reads_the_log() {
    let home = tempfile::tempdir().unwrap();
    copy_folder(&shipped_policies(), &home.path().join("policies"));
    let text = configuration(
        home.path(),
        &[("policies", "dir = \"HOME/policies\""), ("telemetry", "log_level = \"debug\"")],
    );
    fs::write(home.path().join("kwic-team.toml"), text).unwrap();
    let mut child =
        command(home.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address =
        lines.find_map(|line| Some(line.strip_prefix("decisions on http://")?.trim().to_owned()));
    assert!(lines.any(|line| line == "ready"));
    let ours = |arguments: &[&str]| {
        let output = Command::new(binary())
            .args(["--data", home.path().join("data").to_str().unwrap(), "--timeout", "20"])
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    ours(&["account", "create", "--slug", "acme", "--name", "Acme"]);
    let members = home.path().join("members.csv");
    fs::write(
        &members,
        "id,first_name,last_name,email,role\nann,A,B,a@b.example,operator\nleo,A,B,l@b.example,operator\n",
    )
    .unwrap();
    ours(&["member", "import", members.to_str().unwrap()]);
    let stream = TcpStream::connect(address.unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut connection = Connection::new(stream);
    let mut may =
        |who: &str| connection.allows(&question(who, "chats:view", ("chat", "c"), "acme"));
    // A pipe holds 64 KiB; the queue behind it is filled too, and more is left out.
    for _ in 0..12_000 {
        assert!(may("ann"));
    }
    fs::write(
        home.path().join("policies/rules/lock.cedar"),
        "@id(\"lock\")\nforbid (principal == KWIC::User::\"ann\", action, resource);\n",
    )
    .unwrap();
    eventually("the forbid counts", || !may("ann"));
    ours(&["member", "remove", "leo", "--yes"]);
    assert!(!may("leo"));
    let metrics = connection.get("/metrics").body;
    let dropped =
        metrics.lines().find_map(|line| line.strip_prefix("kwic_log_lines_dropped_total "));
    assert!(dropped.unwrap().parse::<u64>().unwrap() > 0, "{dropped:?}");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    eventually("it stops", || child.try_wait().unwrap().is_some());
}

/// A whole configuration with these lines under sections; `mail` is followed by a public address.
fn configuration(home: &Path, lines: &[(&str, &str)]) -> String {
    let mut sections = std::collections::BTreeMap::from([
        ("decision", "listen = \"127.0.0.1:0\"\n".to_owned()),
        ("console", "listen = \"127.0.0.1:0\"\npublic_url = \"https://a.example\"\n".to_owned()),
    ]);
    for (section, line) in lines {
        let line = line.replace("HOME", home.to_str().unwrap());
        sections.entry(section).or_default().push_str(&format!("{line}\n"));
    }
    sections.iter().map(|(section, lines)| format!("[{section}]\n{lines}")).collect()
}

#[test]
fn what_serve_refuses_check_refuses_in_the_same_words() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("file"), "no keys").unwrap();
    fs::create_dir(home.path().join("empty")).unwrap();
    let long = format!("socket = \"HOME/{}\"", "s".repeat(120));
    let smtp = |url: &str| format!("kind = \"smtp\"\nfrom = \"a@b.example\"\nurl = \"{url}\"");
    let mut bad: Vec<Vec<(&str, String)>> = [
        "mail.example",
        "smtps://",
        "smtps://mail example.org",
        "smtps://u@mail.example",
        "smtps://u:@mail.example",
        "smtps://u:%zz@mail.example",
        "smtps://u:a/b@mail.example",
        "smtps://u:p@mail.example/inbox",
        "smtps://u:p@mail.example:port",
        "smtps://u:p@mail.example:65536",
        "smtps://u:p@mail.example?tls=none",
        "smtp://u:p@mail.example",
        "smtp://mail.example?tls=optional",
        "smtp://localhost?tls=required&x=1",
    ]
    .map(|url| vec![("mail", smtp(url))])
    .into();
    for (section, line) in [
        ("mail", "from = \"nobody\""),
        ("mail", "from = \"KWIC, Inc. <a@b.example>\""),
        ("mail", "kind = \"folder\"\nbounce_domain = \"a b\""),
        ("mail", "kind = \"folder\"\nbounce_domain = \"localhost:25\""),
        ("mail", "oauth_token_file = \"HOME/file\""),
        ("mail", "kind = \"smtp\"\nfrom = \"a@b.example\""),
        ("decision", "socket = \"HOME/file\""),
        ("decision", long.as_str()),
        ("decision", "keys_file = \"HOME/none\""),
        ("decision", "keys_file = \"HOME/file\""),
        ("decision", "public_url = \"a.example\""),
        ("console", "trusted_proxies = [\"nobody\"]"),
        ("console", "tls_certificate = \"HOME/file\"\ntls_key = \"HOME/file\""),
        ("store", "kind = \"etcd\""),
        ("policies", "dir = \"HOME/none\""),
        ("policies", "dir = \"HOME/empty\""),
        ("sessions", "idle = \"8d\""),
        ("invites", "lifetime = \"1m\""),
    ] {
        bad.push(vec![(section, line.to_owned())]);
    }
    for lines in &bad {
        let lines: Vec<(&str, &str)> =
            lines.iter().map(|(section, line)| (*section, line.as_str())).collect();
        let text = configuration(home.path(), &lines);
        fs::write(home.path().join("kwic-team.toml"), text).unwrap();
        let told = [&["--check"][..], &[]].map(|arguments| {
            let mut child = command(home.path())
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // One that starts, though it should not, is ended by what it is given to say.
            let mut said = String::new();
            let pipe = child.stderr.take().unwrap();
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if line.contains("started") {
                    child.kill().unwrap();
                }
                // What the log says on the way is not the answer.
                if !line.contains("INFO") && !line.contains("WARN") {
                    said.push_str(&line);
                }
            }
            (child.wait().unwrap().code(), said)
        });
        assert!(told[0].0.is_some_and(|code| code != 0), "{lines:?} passed the check: {told:?}");
        assert_eq!(told[0], told[1], "{lines:?}");
    }
}

#[test]
fn what_check_approves_serve_starts_with() {
    for lines in [
        &[("mail", "kind = \"folder\"\nfrom = '\"KWIC, Inc.\" <a@b.example>'")][..],
        &[(
            "mail",
            "kind = \"smtp\"\nfrom = \"KWIC <a@b.example>\"\nurl = \"smtps://u%40x@mail.example:465/\"\noauth_token_command = [\"get\", \"token\"]",
        )],
        &[(
            "mail",
            "kind = \"smtp\"\nfrom = \"a@b.example\"\nurl = \"smtp://u:p@[::1]?tls=required\"\nbounce_domain = \"b.example\"",
        )],
    ] {
        let home = tempfile::tempdir().unwrap();
        let text = configuration(home.path(), lines);
        fs::write(home.path().join("kwic-team.toml"), text).unwrap();
        let output = command(home.path()).arg("--check").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{lines:?}: {output:?}");
        assert!(!home.path().join("data").exists(), "a check writes nothing");
        let mut child = command(home.path()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let is_ready = said.into_iter().any(|line| line == "ready");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_ready, "{lines:?}");
    }
}
