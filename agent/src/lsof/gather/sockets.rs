//! The sockets of this network namespace, read once and when first asked for.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
};

use hashbrown::HashMap;

use super::net::{TABLES, Table};
use crate::lsof::model::{Kind, Socket};

/// Sockets by inode.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    by_inode: HashMap<u64, (Kind, Socket)>,
}

impl Sockets {
    /// Reads the tables that are wanted. Those that this kernel does not have are empty. What `keep` refuses is left out.
    pub(super) fn read(wanted: impl Fn(Table) -> bool, keep: impl Fn(&Socket) -> bool) -> Self {
        let mut by_inode = HashMap::new();
        let mut line = Vec::new();
        for (table, name) in TABLES {
            if !wanted(table) {
                continue;
            }
            let Ok(file) = File::open(format!("/proc/net/{name}")) else { continue };
            let mut reader = BufReader::with_capacity(32 * 1024, file);
            loop {
                line.clear();
                if !matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
                    break;
                }
                let text = line.strip_suffix(b"\n").unwrap_or(&line);
                if let Some((inode, socket)) = table.parse(text)
                    && keep(&socket)
                {
                    by_inode.insert(inode, (table.kind(), socket));
                }
            }
        }
        Self { by_inode }
    }

    /// The socket of an inode.
    pub(super) fn get(&self, inode: u64) -> Option<&(Kind, Socket)> {
        self.by_inode.get(&inode)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_inode.is_empty()
    }
}
