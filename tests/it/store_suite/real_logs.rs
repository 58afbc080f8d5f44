//! The rules of the store on a real PostgreSQL and on a real etcd: each on a log of its own.

use std::pin::Pin;
use std::sync::Arc;

use kwic_team::store::etcd_log::{EtcdLog, EtcdSettings};
use kwic_team::store::postgres_log::{PostgresLog, PostgresSettings};
use kwic_team::store::shared_log::SharedLog;
use tokio::runtime::{Handle, Runtime};

use crate::support::etcd_cluster::{ClusterOptions, EtcdCluster};
use crate::support::in_process_log::{InProcessLog, LOG};
use crate::support::postgres_server::PostgresServer;
use crate::support::store_fixture::StoreFixture;

/// A name, and what holds in a fresh store.
pub(super) type Rule = (&'static str, fn(StoreFixture) -> Pin<Box<dyn Future<Output = ()>>>);

const RULES: [&[Rule]; 13] = [
    super::ON_A_LOG,
    super::accounts::ON_A_LOG,
    super::api_tokens::ON_A_LOG,
    super::erasure::ON_A_LOG,
    super::invariants::ON_A_LOG,
    super::invites::ON_A_LOG,
    super::letters::ON_A_LOG,
    super::member_pages::ON_A_LOG,
    super::one_time_links::ON_A_LOG,
    super::passkeys::ON_A_LOG,
    super::publications::ON_A_LOG,
    super::sessions::ON_A_LOG,
    super::two_step::ON_A_LOG,
];

#[test]
fn every_rule_holds_on_postgresql() {
    let Some(server) = PostgresServer::shared() else { return };
    assert_rules(|runtime, name| {
        let schema = name.to_owned();
        let settings = PostgresSettings { schema, ..PostgresSettings::new(server.url()) };
        PostgresLog::create(&settings, runtime, LOG, &InProcessLog::start()).unwrap();
        Arc::new(PostgresLog::open(&settings, runtime.clone(), LOG).unwrap())
    });
}

#[test]
fn every_rule_holds_on_etcd() {
    let Some(cluster) = EtcdCluster::start(&ClusterOptions::default()) else { return };
    assert_rules(|runtime, name| {
        let mut settings = EtcdSettings::new(cluster.endpoints());
        settings.prefix = format!("{name}/");
        let log = EtcdLog::new(&settings, LOG, runtime.clone()).unwrap();
        log.create(&InProcessLog::start()).unwrap();
        Arc::new(log)
    });
}

fn assert_rules(fresh_log: impl Fn(&Handle, &str) -> Arc<dyn SharedLog>) {
    let runtime = Runtime::new().unwrap();
    let rules: Vec<&Rule> = RULES.into_iter().flatten().collect();
    assert!(rules.len() > 80, "{}", rules.len());
    for (number, (name, holds)) in rules.into_iter().enumerate() {
        // The last one of these lines is the rule that does not hold.
        println!("{name}");
        let line = fresh_log(runtime.handle(), &format!("rule_{number}"));
        runtime.block_on(async {
            holds(StoreFixture::by_line(&InProcessLog::default(), line).await).await;
        });
    }
}
