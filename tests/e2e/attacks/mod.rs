//! What a hostile tool tries. Each row of `docs/attacks.md` is one function here, and each function is three tests.

mod descriptors;
mod environ;
mod files;
mod kernel;
mod output;
mod processes;
mod sockets;

use keyblind_tests::{Attack, Tier};

/// The name of a row's test, and the row.
pub(crate) type Row = (&'static str, fn() -> Attack);

/// Every row, by the section of the page.
pub(crate) const SECTIONS: &[(&str, &[Row])] = &[
    ("Variables", environ::ALL),
    ("Processes and memory", processes::ALL),
    ("Files", files::ALL),
    ("Descriptors and terminals", descriptors::ALL),
    ("Sockets, keyrings and other channels", sockets::ALL),
    ("System calls", kernel::ALL),
    ("Output", output::ALL),
];

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/attacks.md");

/// The page is written by the rows: a cell that a test does not stand behind cannot be on it.
/// `KEYBLIND_BLESS=1` writes it anew.
#[test]
fn the_attacks_page_says_what_the_tests_say() {
    let page = page();
    if std::env::var_os("KEYBLIND_BLESS").is_some() {
        std::fs::write(PAGE, &page).expect("the page can be written");
    }
    let there = std::fs::read_to_string(PAGE).expect("the page is there");
    assert!(there == page, "docs/attacks.md differs from the tests; KEYBLIND_BLESS=1 writes it anew");
}

fn page() -> String {
    let mut text = String::from(
        "# Attacks\n\n\
         What a hostile tool tries, what each tier does about it, and the test that tries it: first bare, where it must\n\
         work, then supervised. The tests in `tests/e2e/attacks/` write this page.\n\n\
         `held` means: the canary is in no output, no file and no event; what follows the colon is what the tool is told.\n\
         `not held` says why. The tier `kernel` is tried in test kernels, started by root and by an ordinary user.\n",
    );
    for (section, rows) in SECTIONS {
        text += &format!(
            "\n## {section}\n\n| technique | kernel | mount | user | in-place | test |\n|---|---|---|---|---|---|\n"
        );
        for (name, attack) in *rows {
            let attack = attack();
            let cells = [Tier::Kernel, Tier::Mount, Tier::User, Tier::InPlace].map(|tier| attack.text(tier));
            text += &format!("| {} | {} | `{name}` |\n", attack.title, cells.join(" | "));
        }
    }
    text
}
