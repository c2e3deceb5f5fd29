//! The pattern language of rules: plain text, `<class n>`, `<class n..m>`, `<class n..>`,
//! and `|` where the hidden part begins (default: at the start). The build script reads this file too.

use std::borrow::Cow;

use super::class;

/// A pattern in parts.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pub(crate) elems: Vec<Elem>,
    /// Number of the first hidden element.
    pub(crate) secret: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum Elem {
    Lit(Cow<'static, [u8]>),
    /// `max` 0 is open: the run goes on as long as the class does.
    Run {
        class: u8,
        min: u16,
        max: u16,
    },
}

/// Longest text before the hidden part, in bytes: `REACH` of the crate.
const REACH: usize = 64;
/// Longest run before the fixed text, in bytes. It has to be in what a stream keeps of its past.
const LEAD: u16 = 96;

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Pattern, String> {
        let (mut elems, mut secret, mut rest) = (Vec::new(), None, text);
        while let Some(c) = rest.chars().next() {
            if c == '|' {
                if secret.replace(elems.len()).is_some() {
                    return Err("two `|`".into());
                }
                rest = &rest[1..];
            } else if c == '<' {
                let (inner, after) = rest[1..].split_once('>').ok_or("`<` without `>`")?;
                elems.push(run(inner)?);
                rest = after;
            } else {
                let end = rest.find(['<', '|']).unwrap_or(rest.len());
                elems.push(Elem::Lit(Cow::Owned(rest.as_bytes()[..end].to_vec())));
                rest = &rest[end..];
            }
        }
        let pattern = Pattern { elems, secret: secret.unwrap_or(0) };
        pattern.check()?;
        Ok(pattern)
    }

    /// The fixed text that the pattern begins with, or that stands behind the run it begins with.
    pub(crate) fn head(&self) -> &[u8] {
        match self.elems.as_slice() {
            [Elem::Lit(text), ..] | [Elem::Run { .. }, Elem::Lit(text), ..] => text,
            _ => &[],
        }
    }

    /// Whether a run stands before the fixed text.
    pub(crate) fn has_lead(&self) -> bool {
        matches!(self.elems.first(), Some(Elem::Run { .. }))
    }

    fn check(&self) -> Result<(), String> {
        if self.head().len() < 3 {
            let text = |elem: &Elem| matches!(elem, Elem::Lit(text) if text.len() >= 3);
            let bounded = |elem: &Elem| matches!(elem, Elem::Run { max, .. } if *max > 0);
            let reason = if self.elems.iter().any(text) || self.elems.iter().any(bounded) {
                "must begin with a text of at least 3 bytes"
            } else {
                "has neither a text of at least 3 bytes nor a run of bounded length, and would hide everything"
            };
            return Err(reason.into());
        }
        if let [Elem::Run { max, .. }, ..] = self.elems.as_slice()
            && (self.secret != 0 || *max == 0 || *max > LEAD)
        {
            return Err(format!("a run at the beginning is hidden and of at most {LEAD} characters"));
        }
        let mut before = 0;
        for elem in &self.elems[..self.secret.min(self.elems.len())] {
            before += match elem {
                Elem::Lit(text) => text.len(),
                Elem::Run { max, .. } => usize::from(*max).max(1),
            };
        }
        if before > REACH || self.secret >= self.elems.len() {
            return Err(format!("more than {REACH} bytes, or everything, before `|`"));
        }
        // What stands before the fixed text is read backwards from it, as far as its class goes.
        for pair in self.elems[usize::from(self.has_lead())..].windows(2) {
            let Elem::Run { class, min, max } = pair[0] else { continue };
            if min == max {
                continue;
            }
            let next = |b: u8| match &pair[1] {
                Elem::Lit(text) => text.first() == Some(&b),
                Elem::Run { class, .. } => class::has(*class, b),
            };
            if max == 0 || (0..=255).any(|b| class::has(class, b) && next(b)) {
                return Err("a run of no fixed length must end where the next element begins".into());
            }
        }
        Ok(())
    }
}

fn run(inner: &str) -> Result<Elem, String> {
    let (name, count) = inner.split_once(' ').ok_or("a run is `<class count>`")?;
    let class =
        class::NAMES.iter().position(|n| *n == name).ok_or_else(|| format!("unknown class `{name}`"))?;
    let number = |text: &str| text.parse::<u16>().map_err(|e| format!("count `{text}`: {e}"));
    let (min, max) = match count.split_once("..") {
        None => (number(count)?, number(count)?),
        Some((min, "")) => (number(min)?, 0),
        Some((min, max)) => (number(min)?, number(max)?),
    };
    if max != 0 && min > max || min == 0 && max == 0 && count != "0.." {
        return Err(format!("count `{count}`"));
    }
    Ok(Elem::Run { class: u8::try_from(class).map_err(|e| e.to_string())?, min, max })
}
