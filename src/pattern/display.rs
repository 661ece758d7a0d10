//! Patterns as text, as an author would write them.

use std::fmt;

use super::ast::{AnyOf, Bound, Codes, Key, Pattern, Value, What};

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::List(members) => {
                f.write_str("[")?;
                commas(f, members)?;
                f.write_str("]")
            }
            Self::Absent => f.write_str("absent"),
            Self::Present => f.write_str("present"),
            Self::Not(inner) => write!(f, "not {inner}"),
            Self::OneOf(choices) => {
                f.write_str("one of ")?;
                commas(f, choices)
            }
            Self::Contains(inner) => write!(f, "something with {inner}"),
            Self::Matches(expression) => write!(f, "something like /{expression}/"),
            Self::LessThan(bound) => write!(f, "less than {bound}"),
            Self::GreaterThan(bound) => write!(f, "more than {bound}"),
            Self::None(keys) => {
                f.write_str("no element with ")?;
                commas(f, keys)
            }
            Self::First(keys) => {
                f.write_str("first element with ")?;
                commas(f, keys)
            }
            Self::SameAs { id, path } => write!(f, "same as {id}.{path}"),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Bind(name) | Self::BindLatest(name) => write!(f, "${name}"),
            Self::Generate { bytes, seed } => write!(f, "{bytes} made bytes (seed {seed})"),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.value)
    }
}

impl fmt::Display for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.low, self.high) {
            (100, 699) => f.write_str("any"),
            (low, high) if low == high => write!(f, "{low}"),
            (low, high) if low % 100 == 0 && high == low + 99 => write!(f, "{}xx", low / 100),
            (low, high) if low % 100 == 0 && high % 100 == 99 => write!(f, "{}xx-{}xx", low / 100, high / 100),
            (low, high) => write!(f, "{low}-{high}"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Request(method) => method.fmt(f),
            Self::Response(codes) => codes.fmt(f),
            Self::MsrpSend => f.write_str("MSRP SEND"),
            Self::MsrpChunk => f.write_str("MSRP CHUNK"),
            Self::MsrpReport => f.write_str("MSRP REPORT"),
            Self::MsrpResponse(codes) => write!(f, "MSRP {codes}"),
            Self::Lost => f.write_str("LOST"),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} {}", self.from, self.to, self.what)?;
        if !self.keys.is_empty() {
            f.write_str(" { ")?;
            commas(f, &self.keys)?;
            f.write_str(" }")?;
        }
        Ok(())
    }
}

impl fmt::Display for AnyOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, pattern) in self.0.iter().enumerate() {
            write!(f, "{}{pattern}", if at > 0 { " or " } else { "" })?;
        }
        Ok(())
    }
}

fn commas(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if at > 0 { ", " } else { "" })?;
    }
    Ok(())
}
