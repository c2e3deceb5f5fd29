//! Addresses, host names and sockets of services.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::super::{Named, NetworkDeny, NetworkMode, Policy, Roots, Socket, SocketUse};
use super::{Asked, Explanation, Verdict, path, under};

/// Names under which clouds' metadata services are known.
const METADATA_NAMES: [&str; 3] = ["metadata.google.internal", "metadata", "instance-data"];

/// Whether `text` is an address, an address or a name with a port, or a word of `[sockets]`.
pub(super) fn is_target(text: &str) -> bool {
    let named = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && !host.contains(['/', ':'])
            && !port.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    named || address(text).is_some() || Socket::from_name(text).is_some()
}

fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    text.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_error| bare.parse()).ok()
}

pub(super) fn connect(policy: &Policy, target: &str, roots: &Roots<'_>) -> Explanation {
    let asked = Asked(format!("connect {target}"));
    if let Some(socket) = Socket::from_name(target).or_else(|| of_path(target)) {
        return service(policy, socket, &asked);
    }
    if target.starts_with(['/', '~', '.']) {
        let mut explanation = path::write(policy, Path::new(target), roots);
        explanation.object = asked.0;
        return explanation;
    }
    let name = target.rsplit_once(':').map_or(target, |(host, _)| host).to_ascii_lowercase();
    let address = address(target);
    let local = address.map_or(name == "localhost", |address| address.to_canonical().is_loopback());
    let mode = &policy.network.mode;
    let rule = format!("network.mode `{}`", mode.value.name());
    match (mode.value, local) {
        (NetworkMode::None, _) => {
            let change = "network.mode = \"host\", or `--net host` for one run";
            return asked.answer(Verdict::Deny, rule, Some(&mode.origin), "a run has no network", change);
        }
        (NetworkMode::Loopback, false) => {
            let change = "network.mode = \"host\", or `--net host` for one run";
            let reason = "a run has a loopback interface of its own and nothing else";
            return asked.answer(Verdict::Deny, rule, Some(&mode.origin), reason, change);
        }
        (NetworkMode::Loopback, true) => {
            let reason = "the run's own loopback interface: services of the host are not on it";
            return asked.answer(Verdict::Allow, rule, Some(&mode.origin), reason, "");
        }
        (NetworkMode::Host, _) => {}
    }
    let denied = policy.network.deny.iter().find(|deny| match address {
        Some(address) => deny.value.denies(address),
        None => deny.value == NetworkDeny::Metadata && METADATA_NAMES.contains(&name.as_str()),
    });
    if let Some(deny) = denied {
        let reason = match deny.value {
            NetworkDeny::Metadata => "clouds tell a machine its own credentials there",
            NetworkDeny::Net { .. } => "the address is denied",
        };
        let (verdict, reason) = under(&policy.mode, Verdict::Deny, reason.to_owned());
        let change = format!("network.deny = [\"!{}\"] takes that out", deny.value);
        return asked.answer(
            verdict,
            format!("network.deny `{}`", deny.value),
            Some(&deny.origin),
            reason,
            change,
        );
    }
    let reason = match address {
        Some(_) => "no entry of network.deny has it",
        None => "names are not judged; the address that it resolves to is",
    };
    asked.answer(Verdict::Allow, rule, Some(&mode.origin), reason, "network.mode = \"none\", or network.deny")
}

fn service(policy: &Policy, socket: Socket, asked: &Asked) -> Explanation {
    let rule = policy.sockets.get(socket);
    let word = rule.usage.value.name();
    let name = socket.name();
    let text = format!("sockets.{name} `{word}`");
    let (verdict, mut reason, change) = match rule.usage.value {
        SocketUse::Absent => {
            let reason = match socket {
                Socket::Docker => "root on the host in one call",
                Socket::Dbus => "services on the bus act for whoever asks",
                Socket::Display => "whoever reaches the display reads the screen and types keys",
                Socket::SshAgent | Socket::GpgAgent => "the agent's keys open what the user can open",
            };
            let change = format!("sockets.{name} = {{ use = \"allow\", reason = \"…\" }}");
            (Verdict::Deny, reason.to_owned(), change)
        }
        SocketUse::Sign => (
            Verdict::Allow,
            "lists keys and signs, and never shows one".to_owned(),
            format!("sockets.{name} = \"absent\""),
        ),
        SocketUse::Allow => {
            let reason = rule.reason.clone().unwrap_or_default();
            (Verdict::Allow, reason, format!("sockets.{name} = \"absent\""))
        }
    };
    if verdict == Verdict::Allow && !rule.commands.is_empty() {
        let commands: Vec<&str> = rule.commands.iter().map(|command| command.value.as_str()).collect();
        reason.push_str(&format!("; for {} only", commands.join(", ")));
    }
    asked.answer(verdict, text, Some(&rule.usage.origin), reason, change)
}

/// The service that usually listens at a path.
fn of_path(target: &str) -> Option<Socket> {
    let path = Path::new(target);
    let name = path.file_name()?.to_str()?;
    let parent = path.parent()?.to_str()?;
    match name {
        "docker.sock" | "podman.sock" | "containerd.sock" | "crio.sock" => Some(Socket::Docker),
        "system_bus_socket" => Some(Socket::Dbus),
        "bus" if parent.starts_with("/run/user/") => Some(Socket::Dbus),
        name if name.starts_with("S.gpg-agent") => Some(Socket::GpgAgent),
        name if name.starts_with("agent.") && parent.contains("ssh") => Some(Socket::SshAgent),
        name if name.starts_with("wayland-") || name.starts_with("pipewire-") => Some(Socket::Display),
        _ if parent == "/tmp/.X11-unix" => Some(Socket::Display),
        _ => None,
    }
}
