//! A metadata service of our own, at the address that clouds use, in a network namespace of our own: the host's
//! network is neither asked nor changed.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{Shutdown, shutdown};

use super::scene::PATH;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Calls `attempt` where the service answers with `key`; whether the service was asked, with what `attempt` returned.
pub(super) fn with_service<T: Send>(
    key: &str,
    attempt: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<(T, bool)> {
    thread::scope(|scope| {
        let apart = scope.spawn(move || {
            // Of this thread and of what it starts; it ends with them.
            unshare(CloneFlags::CLONE_NEWNET)?;
            ip(&["link", "set", "lo", "up"])?;
            ip(&["address", "add", "169.254.169.254/32", "dev", "lo"])?;
            let listener = TcpListener::bind((ADDRESS, 80))?;
            let asked = AtomicUsize::new(0);
            thread::scope(|inner| {
                inner.spawn(|| serve(&listener, key, &asked));
                let result = attempt();
                // accept(2) then returns EINVAL, and the service ends.
                shutdown(listener.as_raw_fd(), Shutdown::Both)?;
                Ok((result?, asked.load(Ordering::SeqCst) > 0))
            })
        });
        apart.join().map_err(|_panic| io::Error::other("the metadata service failed"))?
    })
}

fn serve(listener: &TcpListener, key: &str, asked: &AtomicUsize) {
    while let Ok((stream, _)) = listener.accept() {
        asked.fetch_add(1, Ordering::SeqCst);
        // A client that goes away is not our concern: it was here.
        drop(answer(stream, key));
    }
}

fn answer(mut stream: TcpStream, key: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = [0; 4096];
    if stream.read(&mut request)? == 0 {
        return Ok(());
    }
    let body = format!("{{\"Code\":\"Success\",\"SecretAccessKey\":\"{key}\"}}\n");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes())
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    let mut command = Command::new("ip");
    command.env_clear().env("PATH", PATH).args(arguments);
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("ip {}: {}", arguments.join(" "), why.trim())))
}
