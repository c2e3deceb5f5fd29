//! Packets of the host service: any bytes are a message with one form, or none.
#![no_main]

use keyblind::registrar::protocol::{LONGEST, Reply, Request};

libfuzzer_sys::fuzz_target!(|packet: &[u8]| {
    if let Ok(request) = Request::decode(packet) {
        assert_eq!(request.encode(), packet);
        assert!(packet.len() <= LONGEST);
    }
    if let Ok(reply) = Reply::decode(packet) {
        assert_eq!(reply.encode(), packet);
    }
});
