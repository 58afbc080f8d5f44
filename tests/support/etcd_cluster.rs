//! A real etcd cluster on loopback, in a folder of its own; its members end with it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value as Json;
use tempfile::TempDir;

use super::peer_proxy::PeerProxy;
use super::sidecar::{eventually, is_installed, signal};
use super::tcp_proxy::Passing;

/// How often a cluster is started anew because another program took one of its ports.
const TRIES: usize = 3;

/// What a cluster is started with.
#[derive(Clone, Default)]
pub struct ClusterOptions {
    /// 3 where it is 0.
    pub members: usize,
    /// Whether a test can cut the lines between members.
    pub has_lines: bool,
    /// Clients have to use TLS.
    pub tls: Option<ServerTls>,
    /// More arguments of each member.
    pub more: Vec<String>,
}

/// Files of a server, as PEM.
#[derive(Clone)]
pub struct ServerTls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Clients have to show a certificate of this authority.
    pub client_ca: Option<PathBuf>,
}

/// The cluster.
pub struct EtcdCluster {
    folder: TempDir,
    members: Vec<Member>,
    is_tls: bool,
    /// Of each member; none where the lines between members are not cut.
    peers: Vec<PeerProxy>,
    /// The ids of the members, as they call themselves.
    ids: Vec<String>,
}

struct Member {
    process: Option<Child>,
    arguments: Vec<String>,
    client_port: u16,
    health_port: u16,
}

impl EtcdCluster {
    /// Starts one, and waits until each member knows a leader; `None` where etcd is not installed.
    pub fn start(options: &ClusterOptions) -> Option<Self> {
        if !is_installed("etcd") {
            return None;
        }
        for _ in 0..TRIES {
            let mut cluster = Self::prepared(options);
            for index in 0..cluster.members.len() {
                cluster.start_member(index);
            }
            if cluster.is_up() {
                if options.has_lines {
                    cluster.ids = (0..cluster.members.len()).map(|at| cluster.id(at)).collect();
                }
                return Some(cluster);
            }
        }
        panic!("no etcd cluster starts");
    }

    fn prepared(options: &ClusterOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let count = if options.members == 0 { 3 } else { options.members };
        // All at once, so that they differ.
        let listeners: Vec<_> =
            (0..count * 3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> =
            listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(listeners);
        let lined = if options.has_lines { count } else { 0 };
        let lines: Vec<_> = ports.iter().take(lined).copied().map(PeerProxy::to).collect();
        let peer_url = |index: usize| {
            let port = lines.get(index).map_or(ports[index], |line| line.port);
            format!("http://127.0.0.1:{port}")
        };
        let peers: Vec<_> =
            (0..count).map(|index| format!("m{index}={}", peer_url(index))).collect();
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let members = (0..count).map(|index| {
            let (client_port, health_port) = (ports[count + index], ports[2 * count + index]);
            let client = format!("{scheme}://127.0.0.1:{client_port}");
            let data = folder.path().join(format!("m{index}"));
            let mut arguments = vec![
                format!("--name=m{index}"),
                format!("--data-dir={}", data.display()),
                format!("--listen-peer-urls=http://127.0.0.1:{}", ports[index]),
                format!("--initial-advertise-peer-urls={}", peer_url(index)),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-metrics-urls=http://127.0.0.1:{health_port}"),
                format!("--initial-cluster={}", peers.join(",")),
                "--heartbeat-interval=50".to_owned(),
                "--election-timeout=500".to_owned(),
                "--unsafe-no-fsync".to_owned(),
            ];
            if let Some(tls) = &options.tls {
                arguments.push(format!("--cert-file={}", tls.certificate.display()));
                arguments.push(format!("--key-file={}", tls.key.display()));
                if let Some(ca) = &tls.client_ca {
                    arguments.push("--client-cert-auth".to_owned());
                    arguments.push(format!("--trusted-ca-file={}", ca.display()));
                }
            }
            arguments.extend(options.more.iter().cloned());
            Member { process: None, arguments, client_port, health_port }
        });
        let members = members.collect();
        Self { folder, members, is_tls: options.tls.is_some(), peers: lines, ids: Vec::new() }
    }

    /// As a member calls itself.
    fn id(&self, index: usize) -> String {
        let status = self.post(index, "maintenance/status", "{}");
        let id: u64 = status["header"]["member_id"].as_str().unwrap().parse().unwrap();
        format!("{id:x}")
    }

    /// What passes between two members, either way; for a cluster with lines.
    pub fn pass_between(&self, one: usize, other: usize, what: Passing) {
        self.peers[one].pass(&self.ids[other], what);
        self.peers[other].pass(&self.ids[one], what);
    }

    /// What passes between a member and all others; its clients reach it all the same.
    pub fn pass_to_peers(&self, of: usize, what: Passing) {
        let others = (0..self.members.len()).filter(|other| *other != of);
        others.for_each(|other| self.pass_between(of, other, what));
    }

    fn start_member(&mut self, index: usize) {
        let log = File::create(self.folder.path().join(format!("m{index}.log"))).unwrap();
        let member = &mut self.members[index];
        let started = Command::new("etcd")
            .args(&member.arguments)
            .env_clear()
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        member.process = Some(started.unwrap());
    }

    /// Waits until each member that runs is sound; whether none ended meanwhile.
    fn is_up(&mut self) -> bool {
        let mut has_ended = false;
        eventually("the members of etcd are sound", || {
            let mut running = self.members.iter_mut().filter(|member| member.process.is_some());
            running.all(|member| {
                let process = member.process.as_mut().unwrap();
                has_ended |= process.try_wait().unwrap().is_some();
                let health = request(member.health_port, "GET", "/health", "");
                has_ended || health.is_some_and(|health| health.contains("\"true\""))
            })
        });
        !has_ended
    }

    /// The endpoints of all members.
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.members.len()).map(|index| self.endpoint(index)).collect()
    }

    pub fn endpoint(&self, index: usize) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port(index))
    }

    /// The port for clients.
    pub fn port(&self, index: usize) -> u16 {
        self.members[index].client_port
    }

    /// Ends a member at once, as `kill -9` does.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.members[index].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts a member that was ended, with its data.
    pub fn restart(&mut self, index: usize) {
        self.restart_all(&[index]);
    }

    /// The same of several at once.
    pub fn restart_all(&mut self, indexes: &[usize]) {
        indexes.iter().for_each(|index| self.start_member(*index));
        assert!(self.is_up(), "a member ended again");
    }

    /// Stops a member where it is, or has it go on.
    pub fn pause(&self, index: usize, is_paused: bool) {
        let Some(process) = &self.members[index].process else { return };
        signal(process.id(), if is_paused { "STOP" } else { "CONT" });
    }

    /// Which member leads; for a cluster without TLS.
    pub fn leader(&self) -> usize {
        let running = |index: &usize| self.members[*index].process.is_some();
        let mut all = (0..self.members.len()).filter(running);
        let leads = |index: &usize| {
            let status = self.post(*index, "maintenance/status", "{}");
            status["leader"] == status["header"]["member_id"]
        };
        all.find(leads).expect("a leader")
    }

    /// A call to the gateway of a member; for a cluster without TLS.
    pub fn post(&self, index: usize, path: &str, body: &str) -> Json {
        let answer = request(self.port(index), "POST", &format!("/v3/{path}"), body).unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}"))
    }
}

impl Drop for EtcdCluster {
    fn drop(&mut self) {
        for index in 0..self.members.len() {
            self.kill(index);
        }
    }
}

/// One HTTP request, and the whole answer, if there is one.
fn request(port: u16, method: &str, path: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // The old version: its answers are not in chunks.
    write!(stream, "{method} {path} HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Certificates made by `openssl` in a folder.
pub struct Certificates(TempDir);

impl Certificates {
    /// An authority, a server of it, one whose certificate has expired, and a client; `None` where
    /// `openssl` is not installed.
    pub fn make() -> Option<Self> {
        if !is_installed("openssl") {
            return None;
        }
        let made = Self(tempfile::tempdir().unwrap());
        std::fs::write(made.file("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        std::fs::write(made.file("index"), "").unwrap();
        std::fs::write(made.file("serial"), "01\n").unwrap();
        let settings = "[ca]\ndefault_ca=a\n[a]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n";
        std::fs::write(made.file("settings"), settings).unwrap();
        for authority in ["ca", "other-ca"] {
            made.openssl(&[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
                "-subj",
                &format!("/CN={authority}"),
                "-keyout",
                &format!("{authority}.key"),
                "-out",
                &format!("{authority}.pem"),
            ]);
        }
        for (name, from, to) in [
            ("server", "20200101000000Z", "20991231000000Z"),
            ("expired", "20200101000000Z", "20200102000000Z"),
            ("client", "20200101000000Z", "20991231000000Z"),
        ] {
            made.openssl(&[
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-subj",
                &format!("/CN={name}"),
                "-keyout",
                &format!("{name}.key"),
                "-out",
                &format!("{name}.csr"),
            ]);
            made.openssl(&[
                "ca",
                "-batch",
                "-notext",
                "-config",
                "settings",
                "-cert",
                "ca.pem",
                "-keyfile",
                "ca.key",
                "-startdate",
                from,
                "-enddate",
                to,
                "-extfile",
                "names",
                "-in",
                &format!("{name}.csr"),
                "-out",
                &format!("{name}.pem"),
            ]);
        }
        Some(made)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Of a server.
    pub fn server(&self, name: &str) -> ServerTls {
        let (certificate, key) =
            (self.file(&format!("{name}.pem")), self.file(&format!("{name}.key")));
        ServerTls { certificate, key, client_ca: None }
    }

    fn openssl(&self, arguments: &[&str]) {
        let folder: &Path = self.0.path();
        let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}
