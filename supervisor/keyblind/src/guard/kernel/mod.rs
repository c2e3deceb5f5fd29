//! The kernel tier: programs on the kernel's LSM hooks, loaded and pinned once per boot by a privileged process.

mod object;

pub use object::object;
