//! What was measured, for a person.

use std::fmt;

use crate::circles::circles;
use crate::functions::functions;
use crate::source::{Crate, File};
use crate::twice::{shared, twice};

/// Longer files are named.
const FILE_MAX: usize = 400;
/// Longer functions are named.
const FUNCTION_MAX: usize = 70;

/// The median, the value that nine of ten stay at or below, and the largest.
struct Spread {
    count: usize,
    median: usize,
    p90: usize,
    max: usize,
}

impl Spread {
    fn of(mut values: Vec<usize>) -> Self {
        values.sort_unstable();
        let at = |share: usize| {
            let last = values.len().saturating_sub(1);
            values.get(last * share / 100).copied().unwrap_or_default()
        };
        Self {
            count: values.len(),
            median: at(50),
            p90: at(90),
            max: at(100),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            count,
            median,
            p90,
            max,
        } = self;
        write!(out, "{count:>5} {median:>6} {p90:>5} {max:>5}")
    }
}

/// What was measured of all crates.
pub(crate) struct Report<'c> {
    crates: &'c [Crate],
}

impl<'c> Report<'c> {
    pub(crate) const fn of(crates: &'c [Crate]) -> Self {
        Self { crates }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        sizes(self.crates, out)?;
        too_long(self.crates, out)?;
        in_circles(self.crates, out)?;
        storages(self.crates, out)
    }
}

fn sizes(crates: &[Crate], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        out,
        "{:<24}{:>23}  {:>23}  lines of code that stand twice",
        "", "files", "functions"
    )?;
    let head = "count median   p90   max";
    writeln!(out, "{:<24}{head:>23}  {head:>23}", "src of")?;
    for (one, (lines, doubled)) in crates.iter().zip(twice(crates)) {
        let files = Spread::of(one.files.iter().map(|file| file.lines.len()).collect());
        let lengths = one
            .files
            .iter()
            .flat_map(functions)
            .map(|function| function.lines);
        let functions = Spread::of(lengths.collect());
        writeln!(
            out,
            "{:<24}{files}  {functions}  {doubled} of {lines}",
            one.name
        )?;
    }
    Ok(())
}

fn too_long(crates: &[Crate], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        out,
        "\nfiles over {FILE_MAX} lines and functions over {FUNCTION_MAX}:"
    )?;
    for one in crates {
        let in_src = one.files.iter().map(|file| ("src", file));
        for (folder, file) in in_src.chain(one.tests.iter().map(|file| ("tests", file))) {
            let name = format!("{}/{folder}/{}", one.name, file.path.display());
            tell_long(&name, file, out)?;
        }
    }
    Ok(())
}

fn tell_long(name: &str, file: &File, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    if file.lines.len() > FILE_MAX {
        writeln!(out, "  {name}: {} lines", file.lines.len())?;
    }
    for function in functions(file)
        .iter()
        .filter(|one| one.lines > FUNCTION_MAX)
    {
        writeln!(out, "  {name}:{}: {} lines", function.line, function.lines)?;
    }
    Ok(())
}

fn in_circles(crates: &[Crate], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(out, "\nfiles of a crate that use each other in a circle:")?;
    for one in crates {
        for circle in circles(&one.files) {
            let names = circle
                .iter()
                .map(|file| one.files[*file].path.display().to_string());
            writeln!(
                out,
                "  {}: {}",
                one.name,
                names.collect::<Vec<_>>().join(", ")
            )?;
        }
    }
    Ok(())
}

fn storages(crates: &[Crate], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let named = |name: &str| crates.iter().find(|one| one.name == name);
    let (Some(sqlite), Some(postgres)) =
        (named("shared/store-sqlite"), named("shared/store-postgres"))
    else {
        return Ok(());
    };
    writeln!(
        out,
        "\nlines of code of one storage that stand in the other too:"
    )?;
    for (one, other) in [(sqlite, postgres), (postgres, sqlite)] {
        let (lines, same) = shared(one, other);
        let percent = 100 * same / lines.max(1);
        writeln!(out, "  {}: {same} of {lines} ({percent} %)", one.name)?;
    }
    Ok(())
}
