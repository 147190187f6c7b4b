//! What paths were found to be.

use hashbrown::HashMap;
use rustix::io::Result;

use super::stat::FileStat;

/// What the paths of libraries were found to be: all processes map the same ones.
#[derive(Default)]
pub(super) struct PathStats {
    known: HashMap<Vec<u8>, Result<FileStat>>,
}

/// How many paths are remembered, so that memory has a bound.
const MOST: usize = 4096;

impl PathStats {
    /// What a path is, which is looked for once.
    pub(super) fn of(&mut self, path: &[u8], look: impl FnOnce() -> Result<FileStat>) -> Result<FileStat> {
        if let Some(known) = self.known.get(path) {
            return *known;
        }
        let stat = look();
        if self.known.len() < MOST {
            self.known.insert(path.to_vec(), stat);
        }
        stat
    }
}
