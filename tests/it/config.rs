//! The configuration: a file, an environment, and all faults reported together.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kwic_team::config::{self, Config, ConfigFault, OnStale, PolicySource};
use kwic_team::domain::limits;
use serde_json::Value as Json;

use crate::support::fake_sidecar::run;

const HERE: &str = "/data";

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<ConfigFault>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kwic-team.toml");
    fs::write(&file, text).unwrap();
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(&file), PathBuf::from(HERE), environment)
}

/// The faults as lines, each file's place cut down to `LINE: `.
fn faults(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let faults = load(text, environment).expect_err("the configuration was taken");
    let line = |fault: &ConfigFault| {
        let text = fault.to_string();
        text.rsplit_once("kwic-team.toml:").map_or(text.clone(), |(_, rest)| rest.to_owned())
    };
    faults.iter().map(line).collect()
}

/// The only fault there is.
#[track_caller]
fn fault(text: &str) -> String {
    let faults = faults(text, &[]);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    faults.into_iter().next().unwrap()
}

#[track_caller]
fn taken(text: &str) -> Config {
    load(text, &[]).unwrap_or_else(|faults| panic!("{text}: {faults:#?}"))
}

#[test]
fn every_fault_is_told_at_once_with_its_line_from_top_to_bottom() {
    let text = r#"lonely = 1

[store]
cache_mb = 0
kind = "mysql"

[decision]
listen = "localhost"
wait_mss = 5
socket_mode = "0999"
allowed_hosts = "a"

[decisions]
listen = "x"

[sessions]
idle = "soon"

[policies]
watch = "yes"
managed_by = "Not A Slug"
"#;
    let found = faults(text, &[("KWIC_TEAM_LIMITS_BATCH_ITEMS_MAX", "none")]);
    let wanted = [
        "1: `lonely` is outside every section: put it under one, such as `[decision]`",
        "4: `store.cache_mb` must be a whole number from 1 to 1048576",
        "5: `store.kind` must be `redb`",
        "8: `decision.listen` must be an address and a port, such as `\"127.0.0.1:8181\"`",
        "9: there is no key `decision.wait_mss`: did you mean `wait_ms`?",
        "10: `decision.socket_mode` must be permissions in octal, such as `\"0660\"`",
        "11: `decision.allowed_hosts` must be a list of strings, such as `[\"a\", \"b\"]`",
        "13: there is no section `[decisions]`: did you mean `decision`?",
        "17: `sessions.idle` must be a time such as `\"72h\"`, `\"30m\"` or `\"15s\"`",
        "20: `policies.watch` must be `true` or `false`",
        "21: `policies.managed_by` must be an account's slug: `a-z`, `0-9` and `-`",
    ];
    assert_eq!(found[..wanted.len()], wanted);
    assert_eq!(
        found[wanted.len()..],
        [
            "KWIC_TEAM_LIMITS_BATCH_ITEMS_MAX: `KWIC_TEAM_LIMITS_BATCH_ITEMS_MAX` must be a whole number from 1 to 100000"
        ]
    );
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let found = faults("[store]\ncache_mb = 64\n[decision\n", &[]);
    assert!(found.iter().any(|line| line.starts_with("3: ")), "{found:#?}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault_that_names_it() {
    let missing = Path::new("/nowhere/kwic-team.toml");
    let faults = Config::load(Some(missing), PathBuf::from(HERE), std::iter::empty()).unwrap_err();
    let line = faults[0].to_string();
    assert!(line.starts_with("/nowhere/kwic-team.toml: ") && line.contains("--config"), "{line}");
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    assert_eq!(taken("").decision.wait_ms, 500);
    assert_eq!(taken("[decision]\nwait_ms = 7").decision.wait_ms, 7);
    let environment = [
        ("KWIC_TEAM_DECISION_WAIT_MS", "8"),
        ("KWIC_TEAM_DECISION_ALLOWED_HOSTS", "a.example, b.example"),
        ("KWIC_TEAM_INVITES_LIFETIME", "90m"),
        ("KWIC_TEAM_POLICIES_WATCH", "false"),
        ("KWIC_TEAM_DECISION_SOCKET_MODE", "0600"),
        ("PATH", "/bin"),
        ("KWIC_OTHER", "x"),
    ];
    let config = load("[decision]\nwait_ms = 7", &environment).unwrap();
    assert_eq!(config.decision.wait_ms, 8);
    assert_eq!(config.decision.allowed_hosts, ["a.example", "b.example"]);
    assert_eq!(config.invite_lifetime, Duration::from_secs(90 * 60));
    assert!(!config.policies.watch);
    assert_eq!(config.decision.socket_mode, 0o600);
}

#[test]
fn the_environment_mends_a_key_but_not_a_fault_of_the_file() {
    let found = faults("[decision]\nwait_ms = -1", &[("KWIC_TEAM_DECISION_WAIT_MS", "8")]);
    assert_eq!(found, ["2: `decision.wait_ms` must be a whole number from 0 to 60000"]);
}

#[test]
fn an_unknown_variable_is_refused() {
    let found = faults("", &[("KWIC_TEAM_DECISION_LISTENS", "127.0.0.1:1")]);
    assert_eq!(
        found,
        [
            "KWIC_TEAM_DECISION_LISTENS: unknown setting `KWIC_TEAM_DECISION_LISTENS`: did you mean `KWIC_TEAM_DECISION_LISTEN`?"
        ]
    );
    let found = faults("", &[("KWIC_TEAM_ZZZ", "1")]);
    assert_eq!(found, ["KWIC_TEAM_ZZZ: unknown setting `KWIC_TEAM_ZZZ`: correct or unset it"]);
    // Only secrets come from files.
    assert_eq!(faults("", &[("KWIC_TEAM_STORE_PATH_FILE", "/x")]).len(), 1);
}

#[test]
fn a_secret_comes_from_a_file_and_never_shows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    fs::write(&file, "smtps://team:hunter2@mail.example\n").unwrap();
    let named = ("KWIC_TEAM_MAIL_URL_FILE", file.to_str().unwrap());
    let text = "[console]\npublic_url = \"https://team.example\"\n[mail]\nkind = \"smtp\"\nfrom = \"team@example.org\"";
    let config = load(text, &[named]).unwrap();
    assert_eq!(config.mail.url.as_deref(), Some("smtps://team:hunter2@mail.example"));
    assert!(!format!("{config:?}").contains("hunter2"));

    let both = faults(text, &[named, ("KWIC_TEAM_MAIL_URL", "smtps://team:hunter2@b.example")]);
    assert_eq!(both.len(), 1);
    assert!(both[0].contains("are both set") && !both[0].contains("hunter2"), "{both:?}");

    let missing = faults(text, &[("KWIC_TEAM_MAIL_URL_FILE", "/nowhere/url")]);
    assert!(missing[0].contains("`/nowhere/url` cannot be read"), "{missing:?}");

    fs::write(&file, "http://team:hunter2@mail.example").unwrap();
    let wrong = faults(text, &[named]);
    assert!(!wrong.join("").contains("hunter2"), "{wrong:?}");
}

#[test]
fn all_names_in_the_environment_are_distinct() {
    let names = config::variables();
    let distinct: BTreeSet<&String> = names.iter().collect();
    assert!(names.len() > 40);
    assert_eq!(distinct.len(), names.len());
    assert!(names.iter().all(|name| name.starts_with("KWIC_TEAM_")));
}

#[test]
fn the_reference_reads_as_the_defaults() {
    let reference = run(&["config"]).ends(0);
    let defaults = Config::default_for(PathBuf::from(HERE));
    assert_eq!(format!("{:?}", taken(&reference)), format!("{defaults:?}"));
    for (section, keys) in PROMISED {
        let own = reference.split(&format!("[{section}]\n")).nth(1).unwrap();
        let own: Vec<&str> = own.lines().take_while(|line| !line.starts_with('[')).collect();
        for key in keys.split(' ') {
            let wanted = format!("{key} =");
            let named = own.iter().any(|line| line.trim_start_matches("# ").starts_with(&wanted));
            assert!(named, "the reference leaves out {section}.{key}");
        }
    }
}

#[test]
fn the_command_line_names_every_key_with_its_default_and_meaning() {
    let (text, lines) = (run(&["config"]).ends(0), run(&["config", "--json"]).ends(0));
    let mut variables = BTreeSet::new();
    for line in lines.lines() {
        let key: Json = serde_json::from_str(line).unwrap();
        let about = key["about"].as_str().unwrap();
        assert!(!about.is_empty() && text.contains(&format!("# {about}\n")), "{line}");
        let (_, name) = key["key"].as_str().unwrap().split_once('.').unwrap();
        let written = match &key["default"] {
            Json::Null => format!("\n# {name} =\n"),
            default => format!("\n{name} = {default}\n"),
        };
        assert!(text.contains(&written), "{line}");
        variables.insert(key["variable"].as_str().unwrap().to_owned());
    }
    let all = config::variables().into_iter().filter(|name| !name.ends_with("_URL_FILE"));
    assert_eq!(variables, all.collect());
}

/// The sections and keys of the published configuration.
const PROMISED: &[(&str, &str)] = &[
    (
        "decision",
        "listen socket socket_mode public_url single_account wait_ms allowed_hosts keys_file cross_check",
    ),
    ("console", "listen public_url trusted_proxies"),
    ("store", "kind path cache_mb"),
    (
        "fleet",
        "log password_file ca_file cert_file key_file name max_staleness on_stale keep_old_days",
    ),
    ("policies", "dir source watch managed_by shadow shadow_sample demand_proof"),
    ("mail", "kind url from bounce_domain bounce_maildir oauth_token_file oauth_token_command"),
    ("invites", "lifetime"),
    ("sessions", "idle absolute"),
    ("passwords", "memory_kib iterations"),
    ("telemetry", "log_format log_level"),
];

/// Keys that promise what this version does not do, and the value that asks for nothing, where
/// there is one.
const NOT_OFFERED: &[(&str, &str, &str, &str)] = &[
    ("console", "tls_certificate", "\"/c\"", ""),
    ("console", "tls_key", "\"/k\"", ""),
    ("store", "endpoints", "[\"https://a:2379\"]", ""),
    ("store", "prefix", "\"/kwic-team/\"", ""),
    ("store", "max_staleness", "\"30s\"", ""),
    ("store", "on_stale", "\"answer\"", ""),
    ("audit", "retention", "\"87600h\"", ""),
    ("decision_log", "sink", "\"file\"", "\"none\""),
    ("decision_log", "sample", "1", ""),
    ("decision_log", "mask", "true", ""),
    ("telemetry", "otlp_endpoint", "\"http://127.0.0.1:4317\"", ""),
];

#[test]
fn a_key_that_does_nothing_is_refused_and_not_listed() {
    let names: BTreeSet<String> = config::variables().into_iter().collect();
    for (section, key, value, off) in NOT_OFFERED {
        let variable = format!("KWIC_TEAM_{section}_{key}").to_uppercase();
        assert!(!names.contains(&variable), "{variable}");
        let line = |value: &str| format!("[{section}]\n{key} = {value}");
        let found = fault(&line(value));
        let wanted = format!("2: `{section}.{key}` is not offered by this version: ");
        assert!(found.starts_with(&wanted), "{found}");
        let text = value.trim_matches('"');
        let found = faults("", &[(&variable, text)]);
        assert!(found[0].contains(&format!("`{variable}` is not offered")), "{found:?}");
        if !off.is_empty() {
            taken(&line(off));
            assert!(load("", &[(&variable, off.trim_matches('"'))]).is_ok(), "{variable}");
        }
    }
}

/// A key that nothing reads would be accepted and do nothing.
#[test]
fn every_key_is_read_by_something() {
    let config = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/config.rs")).unwrap();
    for variable in config::variables() {
        let name = variable.strip_prefix("KWIC_TEAM_").unwrap();
        let name = if name == "MAIL_URL_FILE" { "MAIL_URL" } else { name };
        let name = name.to_ascii_lowercase();
        if name == "store_kind" {
            continue; // It has one value in this version.
        }
        let read = name
            .match_indices('_')
            .any(|(at, _)| config.contains(&format!("\"{}.{}\"", &name[..at], &name[at + 1..])));
        assert!(read, "nothing reads {variable}");
    }
}

#[test]
fn a_fleet_needs_the_choice_of_what_a_stale_node_does_and_is_told_its_costs() {
    let log = "log = \"postgresql://kwic@db.example/kwic\"";
    let why = fault(&format!("[fleet]\n{log}"));
    for part in ["`fleet.on_stale` must be set", "denies every decision", "keeps access"] {
        assert!(why.contains(part), "{why}");
    }
    let fleet = taken(&format!("[fleet]\n{log}\non_stale = \"answer\"")).fleet.unwrap();
    assert_eq!((fleet.on_stale, fleet.max_staleness.as_secs()), (OnStale::Answer, 30));
    assert!(!fleet.name.is_empty() && fleet.keep_old_days == 30);
    let fleet = taken(&format!(
        "[fleet]\n{log}\non_stale = \"deny\"\nname = \"a-1\"\nmax_staleness = \"4s\""
    ));
    let fleet = fleet.fleet.unwrap();
    assert_eq!((fleet.on_stale, fleet.name.as_str()), (OnStale::Deny, "a-1"));
    assert!(taken("").fleet.is_none());
}

#[test]
fn policies_come_from_the_fleet_only_where_there_is_one() {
    let source = "[policies]\nsource = \"fleet\"\n";
    let why = fault(source);
    assert!(why.contains("`policies.source` is `fleet`, and there is no `fleet.log`"), "{why}");
    let log = "log = \"postgresql://kwic@db.example/kwic\"\non_stale = \"deny\"";
    let of = |lines: &str| taken(&format!("{lines}[fleet]\n{log}")).policies.source;
    assert_eq!((of(source), of("")), (PolicySource::Fleet, PolicySource::Folder));
}

#[test]
fn a_fleet_at_fault_says_what_to_write() {
    let log = "log = \"postgresql://kwic@db.example/kwic\"";
    for (lines, part) in [
        (format!("{log}\nmax_staleness = \"1s\""), "must be from `4s` to `168h`"),
        (format!("{log}\nmax_staleness = \"8d\""), "must be from `4s` to `168h`"),
        (format!("{log}\nname = \"a b\""), "`fleet.name` must have 1 to 64"),
        (format!("{log}\ncert_file = \"/c\""), "set `fleet.key_file` as well"),
        (format!("{log}\nkey_file = \"/k\""), "set `fleet.cert_file` as well"),
        (format!("{log}\ncert_file = \"/c\"\nkey_file = \"/k\""), "is for etcd only"),
        ("log = \"postgresql://kwic:hunter2@db/kwic\"".to_owned(), "`fleet.password_file`"),
        (String::new(), "`fleet.on_stale` is set, so set `fleet.log` as well"),
    ] {
        let why = fault(&format!("[fleet]\non_stale = \"deny\"\n{lines}"));
        assert!(why.contains(part) && !why.contains("hunter2"), "{why}");
    }
    let why = fault("[fleet]\nca_file = \"/ca\"");
    assert!(why.contains("`fleet.ca_file` is set, so set `fleet.log`"), "{why}");
}

#[test]
fn every_promised_key_is_there() {
    let names: BTreeSet<String> = config::variables().into_iter().collect();
    for (section, keys) in PROMISED {
        for key in keys.split(' ') {
            let name = format!("KWIC_TEAM_{section}_{key}").to_uppercase();
            assert!(names.contains(&name), "{name}");
        }
    }
}

#[test]
fn the_limits_default_to_the_domain() {
    let found = taken("").limits;
    assert_eq!(found.evaluation_body_bytes_max, limits::EVALUATION_BODY_BYTES_MAX);
    assert_eq!(found.batch_body_bytes_max, limits::BATCH_BODY_BYTES_MAX);
    assert_eq!(found.batch_items_max, limits::BATCH_ITEMS_MAX);
    assert_eq!(found.connections_max, limits::CONNECTIONS_MAX);
    assert_eq!(found.head_ms_max, limits::HEAD_MS_MAX);
    assert_eq!(found.body_ms_max, limits::BODY_MS_MAX);
    assert_eq!(found.idle_ms_max, limits::IDLE_MS_MAX);
    assert_eq!(found.drain_ms_max, limits::DRAIN_MS_MAX);
    assert_eq!(taken("").decision.wait_ms, limits::AT_LEAST_WAIT_MS);
}

#[test]
fn decisions_beyond_loopback_need_keys() {
    let open = "[decision]\nlisten = \"0.0.0.0:8181\"";
    assert!(fault(open).starts_with("2: `decision.listen` is not a loopback address"));
    taken(&format!("{open}\nkeys_file = \"/keys\""));
    taken("[decision]\nlisten = \"[::1]:8181\"");
}

#[test]
fn a_console_beyond_loopback_needs_tls_or_a_proxy() {
    let open = "[console]\nlisten = \"0.0.0.0:8180\"";
    assert!(
        fault(open).starts_with("2: `console.listen` is not a loopback address and has no TLS")
    );
    taken(&format!("{open}\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]"));
    for proxy in ["everybody", "10.0.0.0/33", "10.0.0.0/", "::1/129"] {
        let found = fault(&format!("[console]\ntrusted_proxies = [\"{proxy}\"]"));
        assert!(found.contains(proxy), "{found}");
    }
}

#[test]
fn two_listeners_cannot_share_a_place() {
    let found = fault("[decision]\nlisten = \"127.0.0.1:8180\"");
    assert!(found.contains("is the same as `decision.listen`"), "{found}");
    taken("[decision]\nlisten = \"127.0.0.1:0\"\n[console]\nlisten = \"127.0.0.1:0\"");
    let found = fault(&format!("[decision]\nsocket = \"{HERE}/admin.sock\""));
    assert!(found.contains("management API"), "{found}");
}

#[test]
fn public_addresses_are_https_and_nothing_else() {
    for good in ["https://a.example", "https://a.example/team", "https://a.example:444"] {
        taken(&format!("[decision]\npublic_url = \"{good}\"\n[console]\npublic_url = \"{good}\""));
    }
    for good in ["http://localhost:8180", "http://127.0.0.1/team", "http://[::1]:8180"] {
        taken(&format!("[console]\npublic_url = \"{good}\""));
        assert!(fault(&format!("[decision]\npublic_url = \"{good}\"")).starts_with("2: "));
    }
    for bad in [
        "https://",
        "https:///team",
        "a.example",
        "http://a.example",
        "https://a.example/?x",
        "https://a.example/#x",
        "https://a.example/a b",
        "http://localhost:80@evil.example/",
        "http://localhost@evil.example/",
        "http://localhost.evil.example/",
    ] {
        for section in ["decision", "console"] {
            let found = fault(&format!("[{section}]\npublic_url = \"{bad}\""));
            assert!(found.starts_with(&format!("2: `{section}.public_url`")), "{bad}: {found}");
        }
    }
}

#[test]
fn mail_never_goes_out_in_the_clear() {
    let mail = |url: &str| {
        format!(
            "[console]\npublic_url = \"https://team.example\"\n[mail]\nkind = \"smtp\"\nfrom = \"team@example.org\"\nurl = \"{url}\""
        )
    };
    for good in [
        "smtps://u:p@mail.example",
        "smtp://127.0.0.1:25",
        "smtp://[::1]:25",
        "smtp://u:p@localhost",
        "smtp://u:p@mail.example?tls=required",
    ] {
        taken(&mail(good));
    }
    for bad in [
        "smtp://mail.example",
        "smtp://u:p@mail.example:25",
        "smtp://u:tls=required@mail.example",
        "smtp://localhost:25@mail.example",
        "smtp://localhost.example",
    ] {
        assert!(fault(&mail(bad)).contains("plain SMTP to another host"), "{bad}");
    }
    for bad in ["smtp://mail.example/?x=@localhost", "smtp://mail.example#@localhost"] {
        assert!(!faults(&mail(bad), &[]).is_empty(), "{bad}");
    }
    assert!(fault(&mail("mail.example")).contains("must begin with"));
    assert!(fault(&mail("smtps://")).contains("names no host"));
    assert_eq!(faults("[mail]\nkind = \"smtp\"", &[]).len(), 3);
    assert!(fault("[mail]\nfrom = \"nobody\"").contains("`mail.from` is not a sender's address"));
    assert!(fault("[mail]\nfrom = 'KWIC, Inc. <a@b.example>'").contains("put the name in quotes"));
    for from in ["KWIC <a@b.example>", "\"KWIC, Inc.\" <a@b.example>", "Caf\u{e9} <a@b.example>"] {
        taken(&format!("[mail]\nfrom = '{from}'"));
        let set = [("KWIC_TEAM_MAIL_FROM", from)];
        assert_eq!(load("", &set).unwrap().mail.from.as_deref(), Some(from));
    }
    assert!(fault("[mail]\nbounce_domain = \"a b\"").contains("is not a domain"));
    let token = mail("smtps://me@mail.example");
    assert!(fault(&token).contains("user without a password"));
    let command = taken(&format!("{token}\noauth_token_command = [\"get\", \"a b\"]"));
    assert_eq!(command.mail.oauth_token_command, ["get", "a b"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let warned = || {
        let config = taken(&format!("{token}\noauth_token_file = \"{}\"", file.display()));
        config.warnings.join("\n")
    };
    assert!(warned().contains("mail waits until the token is there"), "{}", warned());
    fs::write(&file, "ya29.x").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(warned().contains("others may read") && !warned().contains("ya29"), "{}", warned());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(!warned().contains("token"), "{}", warned());
    assert!(fault("[mail]\noauth_token_file = \"/run/token\"").contains("set `mail.kind"));
    for lifetime in ["59m", "721h"] {
        let found = fault(&format!("[invites]\nlifetime = \"{lifetime}\""));
        assert!(found.contains("`invites.lifetime` must be from `1h` to `720h`"), "{found}");
    }
    assert!(fault("[mail]\nurl = \"smtps://mail.example\"").contains("set `mail.kind"));
}

#[test]
fn what_cannot_be_together_is_refused() {
    let found = fault("[sessions]\nidle = \"8d\"");
    assert!(found.starts_with("2: `sessions.idle` is longer"), "{found}");
    let found = fault("[limits]\nevaluation_body_bytes_max = 2000000");
    assert!(found.contains("limits.batch_body_bytes_max"), "{found}");
}

#[test]
fn a_log_filter_is_levels_and_modules() {
    assert_eq!(taken("").telemetry.log_level, "info");
    for good in ["warn", "off", "info,hyper=debug", "info, kwic_team=trace"] {
        taken(&format!("[telemetry]\nlog_level = \"{good}\""));
    }
    for bad in ["loud", "INFO", "info,", "info,=debug", "kwic_team::mail", "a b=info"] {
        let found = fault(&format!("[telemetry]\nlog_level = \"{bad}\""));
        assert!(found.starts_with("2: `telemetry.log_level` has `"), "{bad}: {found}");
    }
}

#[test]
fn times_and_numbers_at_their_edges() {
    for (text, seconds) in [("15s", 15), ("30m", 1_800), ("72h", 259_200), ("2d", 172_800)] {
        let config = taken(&format!("[sessions]\nidle = \"10s\"\nabsolute = \"{text}\""));
        assert_eq!(config.sessions.absolute, Duration::from_secs(seconds), "{text}");
    }
    for text in ["0s", "", "h", "-1h", "1.5h", "72", "99999999999999999999d", "999999999999999999d"]
    {
        assert!(fault(&format!("[invites]\nlifetime = \"{text}\"")).starts_with("2: "), "{text}");
    }
    assert!(fault("[invites]\nlifetime = 72").starts_with("2: "));
    assert_eq!(taken("[store]\ncache_mb = 0x40").store.cache_mb, 64);
    assert!(fault("[store]\ncache_mb = 64.0").starts_with("2: "));
    assert!(fault("[store]\ncache_mb = \"64\"").starts_with("2: "));
    assert!(fault("[store]\npath = \"\"").contains("is empty"));
    assert_eq!(taken("[decision]\nsocket_mode = \"0600\"").decision.socket_mode, 0o600);
}

#[test]
fn a_relative_path_is_read_by_the_name_of_the_working_folder() {
    let set = [
        ("KWIC_TEAM_STORE_PATH", "team.redb"),
        ("KWIC_TEAM_DECISION_SOCKET", "./decide.sock"),
        ("KWIC_TEAM_DECISION_KEYS_FILE", "callers"),
        ("KWIC_TEAM_POLICIES_DIR", "policies"),
    ];
    let environment = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let config = Config::load(None, PathBuf::from("./data"), environment.clone()).unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(config.data, here.join("data"));
    assert_eq!(config.store.path, here.join("team.redb"));
    assert_eq!(config.decision.socket, Some(here.join("decide.sock")));
    assert_eq!(config.decision.keys_file, Some(here.join("callers")));
    assert_eq!(config.policies.dir, Some(here.join("policies")));
    let defaults = Config::default_for(PathBuf::from("data"));
    assert_eq!(defaults.store.path, here.join("data/kwic.redb"));
}
