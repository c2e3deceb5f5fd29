//! Where fields lie in the running kernel's structures.

/// Byte offsets, resolved from `/sys/kernel/btf/vmlinux` before the programs are loaded and frozen then, so that the
/// verifier knows them as constants.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// One for each of [`FIELDS`], in that order.
    pub at: [u64; FIELDS.len()],
    /// 1 if what is found through a file's path may be handed to helpers. Since `f_path` is in a union, which is so in
    /// 7.2, the verifier trusts only the file's inode, and objects above it are told by their keys.
    pub path_trusted: u64,
}

impl Offsets {
    /// All zero: what the object holds until the loader writes the resolved table over it.
    pub const UNRESOLVED: Self = Self { at: [0; FIELDS.len()], path_trusted: 0 };
}

macro_rules! fields {
    ($($constant:ident = $structure:literal, $members:expr;)*) => {
        /// Structure and alternatives for the member (some were renamed), each a path of members.
        pub const FIELDS: &[(&str, &[&[&str]])] = &[$(($structure, $members)),*];

        #[expect(non_camel_case_types, reason = "indices named as the constants are")]
        enum Index { $($constant),* }

        impl Offsets {
            $(#[doc = concat!("Index of a field of `", $structure, "`.")]
            pub const $constant: usize = Index::$constant as usize;)*
        }
    };
}

fields! {
    FILE_DENTRY = "file", &[&["f_path", "dentry"], &["__f_path", "dentry"]];
    FILE_INODE = "file", &[&["f_inode"]];
    FILE_MODE = "file", &[&["f_mode"]];
    FILE_FLAGS = "file", &[&["f_flags"]];
    DENTRY_INODE = "dentry", &[&["d_inode"]];
    DENTRY_PARENT = "dentry", &[&["d_parent"]];
    DENTRY_NAME = "dentry", &[&["d_name", "name"], &["__d_name", "name"]];
    DENTRY_NAME_LEN = "dentry", &[&["d_name", "len"], &["__d_name", "len"]];
    DENTRY_FLAGS = "dentry", &[&["d_flags"]];
    INODE_NUMBER = "inode", &[&["i_ino"]];
    INODE_GENERATION = "inode", &[&["i_generation"]];
    INODE_MODE = "inode", &[&["i_mode"]];
    INODE_LINKS = "inode", &[&["i_nlink"]];
    INODE_FLAGS = "inode", &[&["i_flags"]];
    INODE_SB = "inode", &[&["i_sb"]];
    SB_DEVICE = "super_block", &[&["s_dev"]];
    SB_MAGIC = "super_block", &[&["s_magic"]];
    SB_ROOT = "super_block", &[&["s_root"]];
    SB_FLAGS = "super_block", &[&["s_flags"]];
    PROC_PID = "proc_inode", &[&["pid"]];
    PROC_INODE = "proc_inode", &[&["vfs_inode"]];
    PID_TASKS = "pid", &[&["tasks"]];
    TASK_PID_LINKS = "task_struct", &[&["pid_links"]];
    TASK_TGID = "task_struct", &[&["tgid"]];
    TASK_CGROUPS = "task_struct", &[&["cgroups"]];
    TASK_LEADER = "task_struct", &[&["group_leader"]];
    TASK_PARENT = "task_struct", &[&["real_parent"]];
    TASK_START = "task_struct", &[&["start_boottime"]];
    CSS_SET_CGROUP = "css_set", &[&["dfl_cgrp"]];
    CGROUP_LEVEL = "cgroup", &[&["level"]];
    CGROUP_NODE = "cgroup", &[&["kn"]];
    CGROUP_ANCESTORS = "cgroup", &[&["ancestors"]];
    NODE_ID = "kernfs_node", &[&["id"]];
    SOCK_CGROUP = "sock", &[&["sk_cgrp_data", "cgroup"]];
    UNIX_DENTRY = "unix_sock", &[&["path", "dentry"]];
    BPRM_FILE = "linux_binprm", &[&["file"]];
}
