//! Where the log that the nodes of a fleet share is: `postgresql://...` or `etcd://...`.
//!
//! The address carries no password, so that it may be printed: that is in a file of its own.

/// The address of a shared log, by its engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogAddress {
    /// A connection string of PostgreSQL, without a password: `postgresql://USER@HOST/DATABASE`.
    Postgres(String),
    /// A cluster of etcd.
    Etcd(EtcdAddress),
}

/// `etcd://[USER@]HOST:PORT[,HOST:PORT...]/PREFIX/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdAddress {
    /// The members of the cluster, each `HOST:PORT`; at least one.
    pub endpoints: Vec<String>,
    /// The user; none where the cluster asks for none.
    pub user: Option<String>,
    /// What the keys of the log begin with: not empty, begins and ends with `/`.
    pub prefix: String,
}

/// Most bytes of the prefix of keys in etcd.
const PREFIX_BYTES_MAX: usize = 128;

impl LogAddress {
    /// Reads `fleet.log`. Checks its form only: what an engine takes of it is known to the engine.
    ///
    /// # Errors
    /// The rest of a sentence about `fleet.log`.
    pub fn parse(url: &str) -> Result<Self, String> {
        const FORMS: &str =
            "write `postgresql://USER@HOST/DATABASE` or `etcd://HOST:2379,HOST:2379/kwic-team/`";
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(format!("is not the address of a log: {FORMS}"));
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        let has_password = user.is_some_and(|user| user.contains(':'))
            || rest.split(['?', '&']).skip(1).any(|part| part.starts_with("password="));
        if has_password {
            return Err(
                "holds a password: write it to a file that only the sidecar may read, and name that in `fleet.password_file`"
                    .to_owned(),
            );
        }
        if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(format!("has a space or a control character: {FORMS}"));
        }
        match scheme {
            // A host may also follow as a parameter: a folder with a socket does.
            "postgresql" | "postgres" => Ok(Self::Postgres(url.to_owned())),
            "etcd" => etcd(user, hosts, rest).map(Self::Etcd),
            _ => Err(format!("begins with `{}://`: {FORMS}", scheme.escape_debug())),
        }
    }
}

fn etcd(user: Option<&str>, hosts: &str, rest: &str) -> Result<EtcdAddress, String> {
    let is_endpoint = |endpoint: &str| {
        let port = endpoint.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
    };
    if let Some(odd) = hosts.split(',').find(|endpoint| !is_endpoint(endpoint)) {
        let odd = odd.escape_debug();
        return Err(format!(
            "names the member `{odd}` of etcd: write `HOST:PORT` for each, with commas between"
        ));
    }
    if user == Some("") {
        return Err("has an `@` and no user before it: write a user, or leave it out".to_owned());
    }
    let prefix = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default();
    let is_of_prefix = |c: char| c.is_ascii_alphanumeric() || "/_-.".contains(c);
    let is_prefix = prefix.len() > 2
        && prefix.len() <= PREFIX_BYTES_MAX
        && prefix.ends_with('/')
        && !prefix.contains("//")
        && prefix.chars().all(is_of_prefix);
    if !is_prefix {
        return Err(
            "has no prefix for the keys in etcd: write one after the members, such as `/kwic-team/`, of letters, digits, `_`, `-`, `.` and `/`"
                .to_owned(),
        );
    }
    Ok(EtcdAddress {
        endpoints: hosts.split(',').map(str::to_owned).collect(),
        user: user.map(str::to_owned),
        prefix: prefix.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_etcd_is_taken_apart() {
        let Ok(LogAddress::Etcd(address)) =
            LogAddress::parse("etcd://team@a.example:2379,[::1]:2380/kwic-team/")
        else {
            panic!("not taken");
        };
        assert_eq!(address.endpoints, ["a.example:2379", "[::1]:2380"]);
        assert_eq!(address.user.as_deref(), Some("team"));
        assert_eq!(address.prefix, "/kwic-team/");
    }

    #[test]
    fn a_password_has_a_file_of_its_own_and_is_not_repeated() {
        for url in [
            "postgresql://team:hunter2@db/kwic",
            "postgresql://db/kwic?password=hunter2",
            "postgresql://db/kwic?sslmode=require&password=hunter2",
            "etcd://team:hunter2@a:2379/kwic/",
            "etcd://team:@a:2379/kwic/",
        ] {
            let why = LogAddress::parse(url).unwrap_err();
            assert!(why.contains("fleet.password_file") && !why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn an_address_at_fault_says_what_to_write() {
        for (url, part) in [
            ("db.example", "postgresql://USER@HOST/DATABASE"),
            ("mysql://db/kwic", "begins with `mysql://`"),
            ("postgresql://db/kw ic", "a space"),
            ("etcd://a/kwic/", "the member `a`"),
            ("etcd://a:2379,/kwic/", "the member ``"),
            ("etcd://a:0/kwic/", "the member `a:0`"),
            ("etcd://@a:2379/kwic/", "no user"),
            ("etcd://a:2379", "has no prefix"),
            ("etcd://a:2379/", "has no prefix"),
            ("etcd://a:2379/kwic", "has no prefix"),
            ("etcd://a:2379//kwic/", "has no prefix"),
            ("etcd://a:2379/kwic/?x=1", "has no prefix"),
        ] {
            let why = LogAddress::parse(url).unwrap_err();
            assert!(why.contains(part), "{url}: {why}");
        }
        for url in ["postgresql://kwic@db1,db2/kwic", "postgresql:///kwic?host=/run/postgresql"] {
            assert_eq!(LogAddress::parse(url), Ok(LogAddress::Postgres(url.to_owned())));
        }
    }
}
