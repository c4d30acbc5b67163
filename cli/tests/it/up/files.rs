//! Connections cannot take the files that the log and the stores need.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::support::text;

/// `conversions up --demo` where the system allows so many open files.
fn up_with_files(files: u32) -> (tempfile::TempDir, Child) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_conversions")]);
    limited.args(["up", "--demo", "--listen", "127.0.0.1:0", "--data"]).arg(folder.path());
    let child = limited.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("sh starts");
    (folder, child)
}

#[test]
fn too_few_files_are_refused_with_the_remedy() {
    let (_folder, child) = up_with_files(1_000);
    let output = child.wait_with_output().expect("it ends");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("ulimit -n 65536"), "{stderr}");
}

#[test]
fn idle_connections_do_not_end_the_process() {
    let (_folder, mut child) = up_with_files(1_200);
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("it announces itself");
    let address: SocketAddr =
        line.trim().strip_prefix("listening on http://").expect(&line).parse().expect("an address");
    // More than it may have open: the rest wait in the backlog.
    let idle: Vec<TcpStream> = (0..400).map(|_| TcpStream::connect(address).expect("the backlog has room")).collect();
    let live = |address: SocketAddr| {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
        std::io::Write::write_all(&mut stream, b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut status = String::new();
        BufReader::new(stream).read_line(&mut status).map(|_| status)
    };
    drop(idle);
    let status = live(address);
    let ended = child.try_wait().expect("its state can be asked");
    child.kill().expect("it can be killed");
    let output = child.wait_with_output().expect("it is gone");
    assert_eq!(ended, None, "{}", text(&output.stderr));
    assert_eq!(status.expect("an answer").trim(), "HTTP/1.1 200 OK");
}
