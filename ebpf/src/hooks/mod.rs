#![forbid(unsafe_code)]
//! One file per hook, named after it.

mod bpf;
mod bprm_committed_creds;
pub mod enrol;
pub mod file_open;
mod file_receive;
mod inode_create;
mod inode_link;
mod inode_rename;
mod inode_unlink;
mod ptrace_access_check;
mod task_kill;
mod unix_stream_connect;
mod vfs_rename;
