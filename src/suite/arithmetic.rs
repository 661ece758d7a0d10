//! Arithmetic over bound numbers: `$e - min(32, $e / 3)`.

use nom::Parser as _;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, one_of, space0};
use nom::combinator::map;
use nom::multi::many0;
use nom::number::complete::double;
use nom::sequence::{delimited, preceded, separated_pair};

use crate::pattern::ast::Expression;

type Step<'t> = nom::IResult<&'t str, Expression>;

/// Reads an expression.
///
/// # Errors
///
/// What is not understood, for a person.
pub(super) fn parse(text: &str) -> Result<Expression, String> {
    match sum(text) {
        Ok((rest, expression)) if rest.trim().is_empty() => Ok(expression),
        Ok((rest, _)) => Err(format!("not understood from `{}` on", rest.trim())),
        Err(_) => Err("not understood".to_owned()),
    }
}

fn sum(text: &str) -> Step<'_> {
    let (text, first) = product(text)?;
    let (text, rest) = many0((preceded(space0, one_of("+-")), product)).parse(text)?;
    Ok((text, folded(first, rest)))
}

fn product(text: &str) -> Step<'_> {
    let (text, first) = operand(text)?;
    let (text, rest) = many0((preceded(space0, one_of("*/")), operand)).parse(text)?;
    Ok((text, folded(first, rest)))
}

fn folded(first: Expression, rest: Vec<(char, Expression)>) -> Expression {
    rest.into_iter().fold(first, |left, (sign, right)| Expression::Binary(Box::new(left), sign, Box::new(right)))
}

fn operand(text: &str) -> Step<'_> {
    let name = take_while1(|char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_');
    let pair = |word| {
        preceded(
            tag(word),
            delimited(
                preceded(space0, char('(')),
                separated_pair(sum, preceded(space0, char(',')), sum),
                preceded(space0, char(')')),
            ),
        )
    };
    preceded(
        space0,
        alt((
            map(preceded(char('$'), name), |name: &str| Expression::Variable(name.to_owned())),
            map(pair("min"), |(left, right)| Expression::Min(Box::new(left), Box::new(right))),
            map(pair("max"), |(left, right)| Expression::Max(Box::new(left), Box::new(right))),
            delimited(char('('), sum, preceded(space0, char(')'))),
            map(double, Expression::Number),
        )),
    )
    .parse(text)
}

impl Expression {
    /// The value under the given variables; `None` when one is missing or nothing finite comes out.
    pub fn evaluate(&self, variable: &dyn Fn(&str) -> Option<f64>) -> Option<f64> {
        let value = match self {
            Self::Number(number) => *number,
            Self::Variable(name) => variable(name)?,
            Self::Min(left, right) => left.evaluate(variable)?.min(right.evaluate(variable)?),
            Self::Max(left, right) => left.evaluate(variable)?.max(right.evaluate(variable)?),
            Self::Binary(left, sign, right) => {
                let (left, right) = (left.evaluate(variable)?, right.evaluate(variable)?);
                match sign {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    _ => left / right,
                }
            }
        };
        value.is_finite().then_some(value)
    }

    /// The variables that it reads.
    pub fn variables(&self) -> Vec<&str> {
        match self {
            Self::Number(_) => Vec::new(),
            Self::Variable(name) => vec![name],
            Self::Binary(left, _, right) | Self::Min(left, right) | Self::Max(left, right) => {
                let mut names = left.variables();
                names.extend(right.variables());
                names
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<f64> {
        parse(text).ok()?.evaluate(&|name| (name == "e").then_some(60.0))
    }

    #[test]
    fn a_bound_of_the_session_timer_is_computed() {
        assert_eq!(value("$e - min(32, $e / 3)"), Some(40.0));
        assert_eq!(value("2 * (1 + 3) - 1"), Some(7.0));
        assert_eq!(value("max(1,$e)*.5"), Some(30.0));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in ["", "$", "1 +", "min(1)", "$e 5", "5s"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(value("$f"), None);
        assert_eq!(value("1 / 0"), None);
    }
}
