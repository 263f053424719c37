//! Which case of a branch node is taken: conditions over plain values.
//!
//! Both sides of a comparison are of one kind, where an integer may meet a float. None equals none and nothing else; it is
//! neither less nor more than anything. Of `and` and `or` the right side is looked at only where it decides, as Python
//! does it: `(x.is_none()) | (x > 3)` is a fair question.

use std::cmp::Ordering;

use super::super::policy::Origin;
use super::event::NodeError;
use super::msgpack::{self, Plain};
use super::path::{MSGPACK, unwrap};
use crate::idl::core::boolean_expression::Expr;
use crate::idl::core::comparison_expression::Operator;
use crate::idl::core::conjunction_expression::LogicalOperator;
use crate::idl::core::if_else_block::Default as Otherwise;
use crate::idl::core::{
    BooleanExpression, ComparisonExpression, IfBlock, IfElseBlock, Literal, LiteralMap, Node, Operand, Primitive,
    literal, operand as side, primitive, scalar,
};

/// Conditions in one another at most; a parser of protobuf stops there too.
const MAX_LEVELS: usize = 100;

/// The cases of a branch in their order, and the node that is run where none of them is met.
pub(super) fn cases(block: &IfElseBlock) -> (impl Iterator<Item = &IfBlock>, Option<&Node>) {
    let otherwise = match &block.default {
        Some(Otherwise::ElseNode(node)) => Some(&**node),
        _ => None,
    };
    (block.case.as_deref().into_iter().chain(&block.other), otherwise)
}

/// The node that is to run, of a branch with these inputs.
///
/// # Errors
/// The author's own, where no case is met and the branch is to fail then; one of ours, where there is no case for it, or a
/// comparison makes no sense.
pub fn decide<'b>(block: &'b IfElseBlock, inputs: &LiteralMap) -> Result<&'b Node, NodeError> {
    let (cases, otherwise) = cases(block);
    for case in cases {
        let met = match &case.condition {
            Some(condition) => holds(condition, inputs, MAX_LEVELS),
            None => Err("a case has no condition".to_owned()),
        };
        if met.map_err(|problem| error("MalformedBranchUserError", problem))? {
            return case.then_node.as_deref().ok_or_else(|| error("MalformedBranchUserError", "a case runs nothing"));
        }
    }
    otherwise.ok_or_else(|| match &block.default {
        Some(Otherwise::Error(given)) => error("UserProvidedError", given.message.clone()),
        _ => error("MalformedBranchUserError", "no case of the branch is met, and it has no else"),
    })
}

fn error(code: &str, message: impl Into<String>) -> NodeError {
    NodeError { code: code.to_owned(), message: message.into(), origin: Origin::User, recoverable: false }
}

/// The inputs of the branch that its conditions name.
pub(super) fn variables(block: &IfElseBlock) -> Vec<&str> {
    let mut found = Vec::new();
    let mut open: Vec<&BooleanExpression> = cases(block).0.filter_map(|case| case.condition.as_ref()).collect();
    while let Some(expression) = open.pop() {
        match &expression.expr {
            Some(Expr::Comparison(comparison)) => {
                for side in [&comparison.left_value, &comparison.right_value] {
                    if let Some(side::Val::Var(name)) = side.as_ref().and_then(|side| side.val.as_ref()) {
                        found.push(name.as_str());
                    }
                }
            }
            Some(Expr::Conjunction(both)) => {
                open.extend([&both.left_expression, &both.right_expression].into_iter().flatten().map(|side| &**side));
            }
            None => {}
        }
    }
    found
}

fn holds(expression: &BooleanExpression, inputs: &LiteralMap, levels: usize) -> Result<bool, String> {
    let levels = levels.checked_sub(1).ok_or("its conditions nest too deep")?;
    match &expression.expr {
        Some(Expr::Comparison(comparison)) => compare(comparison, inputs),
        Some(Expr::Conjunction(both)) => {
            let side = |side: &Option<Box<BooleanExpression>>| match side {
                Some(expression) => holds(expression, inputs, levels),
                None => Err("one side of and or or is missing".to_owned()),
            };
            let left = side(&both.left_expression)?;
            match both.operator() {
                LogicalOperator::And => Ok(left && side(&both.right_expression)?),
                LogicalOperator::Or => Ok(left || side(&both.right_expression)?),
            }
        }
        None => Err("a condition says nothing".to_owned()),
    }
}

fn compare(comparison: &ComparisonExpression, inputs: &LiteralMap) -> Result<bool, String> {
    let left = value(comparison.left_value.as_ref(), inputs)?;
    let right = value(comparison.right_value.as_ref(), inputs)?;
    let operator = comparison.operator();
    let words = || format!("cannot compare {} with {} by {}", name(&left), name(&right), operator.as_str_name());
    let order = match (&left, &right) {
        (Plain::None, Plain::None) => Equal::Plain(true),
        (Plain::None, _) | (_, Plain::None) => Equal::Plain(false),
        (Plain::Boolean(one), Plain::Boolean(other)) => Equal::Plain(one == other),
        (Plain::Integer(one), Plain::Integer(other)) => Equal::Order(Some(one.cmp(other))),
        (Plain::Text(one), Plain::Text(other)) => Equal::Order(Some(one.as_bytes().cmp(other.as_bytes()))),
        (Plain::Datetime(one), Plain::Datetime(other)) | (Plain::Duration(one), Plain::Duration(other)) => {
            Equal::Order(Some(one.cmp(other)))
        }
        _ => match (number(&left), number(&right)) {
            (Some(one), Some(other)) => Equal::Order(one.partial_cmp(&other)),
            _ => return Err(words()),
        },
    };
    Ok(match (operator, order) {
        (Operator::Eq, Equal::Plain(equal)) => equal,
        (Operator::Neq, Equal::Plain(equal)) => !equal,
        (_, Equal::Plain(_)) => return Err(words()),
        (Operator::Eq, Equal::Order(order)) => order == Some(Ordering::Equal),
        (Operator::Neq, Equal::Order(order)) => order != Some(Ordering::Equal),
        (Operator::Gt, Equal::Order(order)) => order == Some(Ordering::Greater),
        (Operator::Gte, Equal::Order(order)) => order.is_some_and(Ordering::is_ge),
        (Operator::Lt, Equal::Order(order)) => order == Some(Ordering::Less),
        (Operator::Lte, Equal::Order(order)) => order.is_some_and(Ordering::is_le),
    })
}

/// How two values stand to one another.
enum Equal {
    /// Equal or not, and nothing between.
    Plain(bool),
    /// In an order; none for what is no number.
    Order(Option<Ordering>),
}

fn number(value: &Plain) -> Option<f64> {
    match value {
        Plain::Integer(number) => Some(*number as f64),
        Plain::Float(number) => Some(*number),
        _ => None,
    }
}

/// The value of one side. An input that is not there is an optional that nobody gave.
fn value(operand: Option<&Operand>, inputs: &LiteralMap) -> Result<Plain, String> {
    match operand.and_then(|operand| operand.val.as_ref()) {
        Some(side::Val::Primitive(primitive)) => of_primitive(primitive),
        Some(side::Val::Scalar(scalar)) => of_scalar(scalar.value.as_ref(), "a constant"),
        Some(side::Val::Var(name)) => {
            inputs.literals.get(name).map_or(Ok(Plain::None), |literal| of_literal(literal, name))
        }
        None => Err("one side of a comparison is missing".to_owned()),
    }
}

fn of_literal(literal: &Literal, name: &str) -> Result<Plain, String> {
    match &unwrap(literal).value {
        Some(literal::Value::Scalar(scalar)) => of_scalar(scalar.value.as_ref(), name),
        _ => Err(format!("{name} is no plain value, and only those can be compared")),
    }
}

fn of_scalar(value: Option<&scalar::Value>, name: &str) -> Result<Plain, String> {
    let plain = match value {
        Some(scalar::Value::Primitive(primitive)) => return of_primitive(primitive),
        Some(scalar::Value::NoneType(_)) => Some(Plain::None),
        // An attribute of a dataclass.
        Some(scalar::Value::Binary(binary)) if binary.tag == MSGPACK => msgpack::plain(&binary.value),
        _ => None,
    };
    plain.ok_or_else(|| format!("{name} is no plain value, and only those can be compared"))
}

fn of_primitive(primitive: &Primitive) -> Result<Plain, String> {
    let nanos = |seconds: i64, nanos: i32| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Ok(match &primitive.value {
        Some(primitive::Value::Integer(value)) => Plain::Integer(*value),
        Some(primitive::Value::FloatValue(value)) => Plain::Float(*value),
        Some(primitive::Value::StringValue(value)) => Plain::Text(value.clone()),
        Some(primitive::Value::Boolean(value)) => Plain::Boolean(*value),
        Some(primitive::Value::Datetime(at)) => Plain::Datetime(nanos(at.seconds, at.nanos)),
        Some(primitive::Value::Duration(time)) => Plain::Duration(nanos(time.seconds, time.nanos)),
        None => return Err("a value that is compared holds nothing".to_owned()),
    })
}

fn name(value: &Plain) -> &'static str {
    match value {
        Plain::None => "none",
        Plain::Boolean(_) => "a boolean",
        Plain::Integer(_) => "an integer",
        Plain::Float(_) => "a float",
        Plain::Text(_) => "a string",
        Plain::Datetime(_) => "a datetime",
        Plain::Duration(_) => "a duration",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::idl::core::{ConjunctionExpression, Error};
    use crate::idl::make;

    fn primitive_of(literal: &Literal) -> Option<side::Val> {
        match make::as_scalar(literal)? {
            scalar::Value::Primitive(primitive) => Some(side::Val::Primitive(primitive.clone())),
            other => Some(side::Val::Scalar(crate::idl::core::Scalar { value: Some(other.clone()) })),
        }
    }

    fn comparing(left: side::Val, operator: Operator, right: side::Val) -> BooleanExpression {
        let comparison = ComparisonExpression {
            operator: operator.into(),
            left_value: Some(Operand { val: Some(left) }),
            right_value: Some(Operand { val: Some(right) }),
        };
        BooleanExpression { expr: Some(Expr::Comparison(comparison)) }
    }

    fn joined(left: BooleanExpression, operator: LogicalOperator, right: BooleanExpression) -> BooleanExpression {
        let both = ConjunctionExpression {
            operator: operator.into(),
            left_expression: Some(Box::new(left)),
            right_expression: Some(Box::new(right)),
        };
        BooleanExpression { expr: Some(Expr::Conjunction(Box::new(both))) }
    }

    fn met(x: &Literal, operator: Operator, other: &Literal) -> Result<bool, String> {
        let inputs = LiteralMap { literals: [(".x".to_owned(), x.clone())].into() };
        let expression = comparing(side::Val::Var(".x".to_owned()), operator, primitive_of(other).unwrap());
        holds(&expression, &inputs, MAX_LEVELS)
    }

    #[test]
    fn values_of_one_kind_are_compared() {
        use Operator::{Eq, Gt, Gte, Lt, Lte, Neq};
        let all = [Eq, Neq, Gt, Gte, Lt, Lte];
        let rows = [
            (make::integer(3), make::integer(4), "neq lt lte"),
            (make::integer(i64::MAX), make::integer(i64::MAX - 1), "neq gt gte"),
            (make::integer(3), make::float(3.0), "eq gte lte"),
            (make::float(f64::NAN), make::float(1.0), "neq"),
            (make::string("b"), make::string("ab"), "neq gt gte"),
            (make::boolean(true), make::boolean(true), "eq"),
            (make::none(), make::none(), "eq"),
            (make::none(), make::integer(1), "neq"),
            // 3 and "x" as attributes of a dataclass.
            (make::binary(vec![3], MSGPACK), make::integer(3), "eq gte lte"),
            (make::binary(vec![0xa1, b'x'], MSGPACK), make::string("y"), "neq lt lte"),
            (make::binary(vec![0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], MSGPACK), make::float(1.5), "eq gte lte"),
            (make::binary(vec![0xc3], MSGPACK), make::boolean(true), "eq"),
            (make::binary(vec![0xc0], MSGPACK), make::integer(1), "neq"),
        ];
        for (left, right, due) in rows {
            let found = all.iter().filter(|operator| met(&left, **operator, &right) == Ok(true));
            let found: Vec<String> = found.map(|operator| operator.as_str_name().to_lowercase()).collect();
            assert_eq!(found.join(" "), due, "{left:?} {right:?}");
        }
        for (left, operator, right) in [
            (make::string("1"), Eq, make::integer(1)),
            (make::boolean(true), Gt, make::boolean(false)),
            (make::none(), Lt, make::integer(1)),
            (make::collection(Vec::new()), Eq, make::integer(1)),
            (make::binary(vec![0x90], MSGPACK), Eq, make::integer(1)),
        ] {
            assert!(met(&left, operator, &right).is_err(), "{left:?} {right:?}");
        }
    }

    fn block(conditions: Vec<BooleanExpression>, default: Option<Otherwise>) -> IfElseBlock {
        let case = |(at, condition): (usize, BooleanExpression)| IfBlock {
            condition: Some(condition),
            then_node: Some(Box::new(Node { id: format!("n{at}"), ..Node::default() })),
        };
        let mut cases = conditions.into_iter().enumerate().map(case);
        IfElseBlock { case: cases.next().map(Box::new), other: cases.collect(), default }
    }

    fn x_is(value: i64) -> BooleanExpression {
        comparing(side::Val::Var("x".to_owned()), Operator::Eq, primitive_of(&make::integer(value)).unwrap())
    }

    fn given(x: i64) -> LiteralMap {
        LiteralMap { literals: [("x".to_owned(), make::integer(x))].into() }
    }

    #[test]
    fn the_first_case_that_is_met_is_taken() {
        let other = Node { id: "else".to_owned(), ..Node::default() };
        let with_else = block(vec![x_is(1), x_is(2), x_is(2)], Some(Otherwise::ElseNode(Box::new(other))));
        let taken = |x| decide(&with_else, &given(x)).map(|node| node.id.clone());
        assert_eq!([taken(1), taken(2), taken(3)], ["n0", "n1", "else"].map(|id| Ok(id.to_owned())));
        let error = Error { failed_node_id: "n".to_owned(), message: "no luck".to_owned() };
        let failing = block(vec![x_is(1)], Some(Otherwise::Error(error)));
        let failed = decide(&failing, &given(2)).unwrap_err();
        assert_eq!((failed.code.as_str(), failed.message.as_str()), ("UserProvidedError", "no luck"));
        assert_eq!(decide(&block(vec![x_is(1)], None), &given(2)).unwrap_err().code, "MalformedBranchUserError");
        assert_eq!(variables(&with_else), ["x", "x", "x"]);
    }

    #[test]
    fn the_right_side_counts_only_where_it_decides() {
        let none = comparing(side::Val::Var("x".to_owned()), Operator::Eq, primitive_of(&make::none()).unwrap());
        let more = comparing(side::Val::Var("x".to_owned()), Operator::Gt, primitive_of(&make::integer(3)).unwrap());
        let either = joined(none.clone(), LogicalOperator::Or, more.clone());
        assert_eq!(holds(&either, &LiteralMap::default(), MAX_LEVELS), Ok(true));
        assert!(holds(&joined(none, LogicalOperator::And, more), &LiteralMap::default(), MAX_LEVELS).is_err());
    }

    proptest! {
        #[test]
        fn conditions_are_those_of_booleans(bits in prop::collection::vec(any::<(bool, bool)>(), 1..12), x in 0_i64..2) {
            let (mut expression, mut due) = (x_is(0), x == 0);
            for (and, one) in bits {
                let operator = if and { LogicalOperator::And } else { LogicalOperator::Or };
                let own = x == i64::from(one);
                due = if and { due && own } else { due || own };
                expression = joined(expression, operator, x_is(i64::from(one)));
            }
            prop_assert_eq!(holds(&expression, &given(x), MAX_LEVELS), Ok(due));
        }
    }
}
