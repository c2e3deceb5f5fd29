//! What the service manager is told (sd_notify(3)): a datagram to the socket of NOTIFY_SOCKET.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The service manager, if there is one.
#[derive(Debug)]
pub(super) struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl Manager {
    /// `address` is the value of NOTIFY_SOCKET: a path, or `@` and an abstract name. One that cannot be used is as good
    /// as none: the manager then waits in vain and says so.
    pub(super) fn new(address: Option<OsString>) -> Self {
        let address = address.and_then(|address| parse(&address).ok());
        Self { socket: address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address))) }
    }

    /// Tells it; whether it listens changes nothing.
    pub(super) fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.socket {
            let _nobody_listens = socket.send_to_addr(state.as_bytes(), address);
        }
    }
}

fn parse(address: &OsStr) -> io::Result<SocketAddr> {
    match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(address: &SocketAddr, variable: OsString) {
        let manager = UnixDatagram::bind_addr(address).unwrap();
        Manager::new(Some(variable)).tell("READY=1");
        let mut buffer = [0; 32];
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
    }

    #[test]
    fn a_path_and_an_abstract_name() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("notify");
        heard(&SocketAddr::from_pathname(&path).unwrap(), path.into());
        let name = format!("keyblind-notify-{}", std::process::id());
        heard(&SocketAddr::from_abstract_name(&name).unwrap(), format!("@{name}").into());
    }

    #[test]
    fn no_manager_is_no_trouble() {
        Manager::new(None).tell("READY=1");
        Manager::new(Some("/nowhere/at/all".into())).tell("READY=1");
    }
}
