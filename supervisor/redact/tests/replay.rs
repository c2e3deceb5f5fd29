//! Replays the fuzz corpus, and made-up variants of each case, on the properties of the fuzz targets.

#[cfg(test)]
#[path = "../fuzz/properties.rs"]
mod properties;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::properties;

    fn corpus() -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let files = fs::read_dir(folder).unwrap();
        files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn the_corpus_holds() {
        let corpus = corpus();
        assert!(corpus.len() > 20);
        for case in &corpus {
            properties::text(case);
            properties::json(case);
        }
    }

    /// Cases per run: as many as `KEYBLIND_FUZZ_CASES` says, 300 if it says nothing.
    #[test]
    fn variants_of_the_corpus_hold() {
        let count = std::env::var("KEYBLIND_FUZZ_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
        let (corpus, mut state) = (corpus(), 0x2545_f491_4f6c_dd1d_u64);
        let mut below = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        };
        for _ in 0..count {
            let mut case = corpus[below(corpus.len())].clone();
            for _ in 0..=below(6) {
                let at = below(case.len() + 1);
                match below(4) {
                    0 if at < case.len() => case[at] = u8::try_from(below(256)).unwrap(),
                    1 => case.truncate(at),
                    2 => {
                        let other = &corpus[below(corpus.len())];
                        case.extend_from_slice(&other[below(other.len())..]);
                    }
                    _ => {
                        let part = case[at..(at + below(40)).min(case.len())].to_vec();
                        let to = below(case.len() + 1);
                        case.splice(to..to, part);
                    }
                }
            }
            properties::text(&case);
            properties::json(&case);
        }
    }
}
