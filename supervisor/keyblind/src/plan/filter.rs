//! The seccomp programs of a run, compiled from `policies/seccomp.toml` by `build/seccomp.rs`.

macro_rules! program {
    ($name:literal) => {
        [
            include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".refuse.bpf")).as_slice(),
            include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".only.bpf")).as_slice(),
        ]
    };
}

/// The two programs of a variant; both are installed and the kernel takes the stricter answer.
pub(super) fn programs(in_place: bool, debug: bool) -> [&'static [u8]; 2] {
    match (in_place, debug) {
        (false, false) => program!("namespaces"),
        (false, true) => program!("namespaces-debug"),
        (true, false) => program!("in-place"),
        (true, true) => program!("in-place-debug"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: u32 = 0x7fff_0000;
    const KILL_PROCESS: u32 = 0x8000_0000;
    const EPERM: u32 = 0x0005_0001;
    const ENOSYS: u32 = 0x0005_0026;
    const EAFNOSUPPORT: u32 = 0x0005_0061;
    const X86_64: u32 = 0xc000_003e;

    /// What the kernel would answer: the program run over `struct seccomp_data` (linux/seccomp.h).
    fn interpret(program: &[u8], arch: u32, number: u32, args: &[u64]) -> u32 {
        let mut data = [0u8; 64];
        data[0..4].copy_from_slice(&number.to_le_bytes());
        data[4..8].copy_from_slice(&arch.to_le_bytes());
        for (at, arg) in args.iter().enumerate() {
            data[16 + 8 * at..24 + 8 * at].copy_from_slice(&arg.to_le_bytes());
        }
        let (mut at, mut accumulator) = (0usize, 0u32);
        loop {
            let instruction = &program[at * 8..at * 8 + 8];
            let code = u16::from_le_bytes([instruction[0], instruction[1]]);
            let (yes, no) = (usize::from(instruction[2]), usize::from(instruction[3]));
            let k = u32::from_le_bytes([instruction[4], instruction[5], instruction[6], instruction[7]]);
            at += 1;
            let mut jump = |taken: bool| at += if taken { yes } else { no };
            match code {
                0x20 => {
                    let from = usize::try_from(k).unwrap();
                    accumulator = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
                }
                0x54 => accumulator &= k,
                0x05 => at += usize::try_from(k).unwrap(),
                0x15 => jump(accumulator == k),
                0x25 => jump(accumulator > k),
                0x35 => jump(accumulator >= k),
                0x45 => jump(accumulator & k != 0),
                0x06 => return k,
                other => panic!("instruction {other:#x} is not known to this test"),
            }
        }
    }

    /// The stricter of both programs: a smaller action value is stricter, but for the sign bit of KILL_PROCESS.
    fn answer(in_place: bool, debug: bool, number: u32, args: &[u64]) -> u32 {
        programs(in_place, debug)
            .iter()
            .map(|program| interpret(program, X86_64, number, args))
            .min_by_key(|answer| answer.cast_signed())
            .unwrap()
    }

    #[test]
    fn what_is_listed_is_allowed_and_what_is_not_is_unknown() {
        for number in [0, 1, 59, 56, 257, 41, 16, 231, 435, 468] {
            let expect = if number == 435 { ENOSYS } else { ALLOW };
            let args = if number == 41 { [2, 0] } else { [0, 0] };
            assert_eq!(answer(false, false, number, &args), expect, "call {number}");
        }
        for number in [470, 500, 1000, 0x3fff_ffff] {
            assert_eq!(answer(false, false, number, &[]), ENOSYS, "call {number}");
        }
    }

    #[test]
    fn a_foreign_architecture_and_x32_kill() {
        for program in programs(false, false) {
            for arch in [0x4000_0003, 0xc000_00b7, 0] {
                assert_eq!(interpret(program, arch, 1, &[]), KILL_PROCESS, "arch {arch:#x}");
            }
            // write(2) by its x32 number.
            assert_eq!(interpret(program, X86_64, 0x4000_0001, &[]), KILL_PROCESS);
        }
    }

    #[test]
    fn unwanted_calls_are_refused() {
        for (name, number) in [
            ("ptrace", 101),
            ("mount", 165),
            ("umount2", 166),
            ("setns", 308),
            ("bpf", 321),
            ("keyctl", 250),
            ("io_uring_setup", 425),
            ("userfaultfd", 323),
            ("open_by_handle_at", 304),
            ("process_vm_readv", 310),
            ("pidfd_getfd", 438),
            ("fanotify_init", 300),
            ("open_tree_attr", 467),
            ("statmount", 457),
        ] {
            assert_eq!(answer(false, false, number, &[]), EPERM, "{name}");
            assert_eq!(answer(true, false, number, &[]), EPERM, "{name} in place");
        }
    }

    #[test]
    fn variants_differ_where_the_table_says_so() {
        let (ptrace, shmget, kcmp) = (101, 29, 312);
        assert_eq!(answer(false, true, ptrace, &[]), ALLOW);
        assert_eq!(answer(false, true, kcmp, &[]), EPERM);
        assert_eq!(answer(false, false, shmget, &[]), ALLOW);
        assert_eq!(answer(true, false, shmget, &[]), EPERM);
        let (socket, socketpair, unix) = (41, 53, [1, 1]);
        assert_eq!(answer(false, false, socket, &unix), ALLOW);
        assert_eq!(answer(true, false, socket, &unix), EAFNOSUPPORT);
        assert_eq!(answer(true, false, socketpair, &unix), ALLOW);
    }

    #[test]
    fn arguments_are_compared_on_their_low_half() {
        let high = 0xdead_beef_0000_0000;
        for (call, args, expect) in [
            (16, [0, 0x5412, 0], EPERM),
            (16, [0, high | 0x5412, 0], EPERM),
            (16, [0, high | 0x541c, 0], EPERM),
            (16, [0, 0x5401, 0], ALLOW),
            (56, [0x1000_0000, 0, 0], EPERM),
            (56, [high | 0x4000_0000 | 17, 0, 0], EPERM),
            (56, [0x003d_0f00, 0, 0], ALLOW),
            (272, [0x0002_0000, 0, 0], EPERM),
            (272, [0x0000_0400, 0, 0], ALLOW),
            (272, [0x0000_0080, 0, 0], EPERM),
            (41, [1, 0, 0], ALLOW),
            (41, [high | 16, 0, 0], ALLOW),
            (41, [40, 0, 0], EAFNOSUPPORT),
            (41, [38, 0, 0], EAFNOSUPPORT),
            (41, [17, 0, 0], EAFNOSUPPORT),
            (53, [1, 0, 0], ALLOW),
            (53, [2, 0, 0], EAFNOSUPPORT),
            (135, [0xffff_ffff, 0, 0], ALLOW),
            (135, [0x0040_0000, 0, 0], ENOSYS),
            (317, [1, 0x8, 0], EPERM),
            (317, [1, 0, 0], ALLOW),
            (133, [0, 0x2000 | 0o600, 0], EPERM),
            (133, [0, 0x1000 | 0o600, 0], ALLOW),
            (259, [0, 0, 0x6000 | 0o600], EPERM),
            (259, [0, 0, 0o600], ALLOW),
        ] {
            assert_eq!(answer(false, false, call, &args), expect, "call {call} with {args:x?}");
        }
    }
}
