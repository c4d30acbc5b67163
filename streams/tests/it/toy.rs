//! A state machine that does what its records say: commands, divided by `;`, of words divided by a space.

use streams::{Context, DeadLetter, Failure, Input, Message, Processor, Refusal, StoreError, Topic};

pub(crate) const IN: Topic = Topic { id: 1, name: "in" };
pub(crate) const OUT: Topic = Topic { id: 2, name: "out" };
pub(crate) const DEAD: Topic = Topic { id: 3, name: "dead" };
pub(crate) const NAME: &str = "toy";

/// It, with rows of some version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Toy(pub(crate) u32);

impl Processor for Toy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> Vec<Topic> {
        vec![IN]
    }

    fn state_version(&self) -> u32 {
        self.0
    }

    fn apply(&self, context: &mut Context<'_>, input: Input<'_>) -> Result<(), Failure> {
        let script = std::str::from_utf8(input.value).expect("scripts are text");
        script.split(';').filter(|command| !command.is_empty()).try_for_each(|command| {
            let words: Vec<&str> = command.split(' ').collect();
            command_of(context, input.key, &words)
        })
    }

    /// Says that it fired, and then does what its key says, with `:` between the words.
    fn timer(&self, context: &mut Context<'_>, key: &[u8]) -> Result<(), Failure> {
        let script = std::str::from_utf8(key).expect("keys of timers are text");
        emit(context, key, format!("fired {script} {}", context.now_ms()));
        let words: Vec<&str> = script.split(':').collect();
        if words.len() > 1 { command_of(context, key, &words) } else { Ok(()) }
    }

    fn dead_letter(&self, letter: DeadLetter<'_>) -> Message {
        let DeadLetter { processor, input, refusal, now_ms } = letter;
        let Input { topic, partition, offset, key, value } = input;
        let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
        let value = format!("{processor} {topic}/{partition}@{offset} {key}={value} at {now_ms}: {refusal}");
        Message { topic: DEAD, key: input.key.to_vec(), value: value.into_bytes() }
    }
}

fn command_of(context: &mut Context<'_>, key: &[u8], words: &[&str]) -> Result<(), Failure> {
    match words {
        ["count"] => {
            count(context, key)?;
        }
        ["put", row, value] => context.put(&unhex(row), unhex(value)),
        ["delete", row] => context.delete(&unhex(row)),
        ["timer", due_ms, key] => context.set_timer(due_ms.parse().expect("a time"), key.as_bytes()),
        ["clear", due_ms, key] => context.clear_timer(due_ms.parse().expect("a time"), key.as_bytes()),
        // As long as the counter under the key has not reached `times`, at the same due as before.
        ["again", due_ms, times] if count(context, key)? < times.parse().expect("a number") => {
            context.set_timer(due_ms.parse().expect("a time"), key);
        }
        ["again", ..] => {}
        ["pad", bytes] => emit(context, key, "x".repeat(bytes.parse().expect("a number"))),
        ["scan", prefix, rows_max] => {
            let rows = context.scan(&unhex(prefix), rows_max.parse().expect("a number"))?;
            let shown = rows.iter().map(|(key, value)| format!("{}={}", hex(key), hex(value)));
            emit(context, key, shown.collect::<Vec<_>>().join(","));
        }
        ["refuse", reason] => {
            return Err(Refusal { reason: "told-to", message: format!("it says {reason}") }.into());
        }
        other => panic!("no such command: {other:?}"),
    }
    Ok(())
}

fn count(context: &mut Context<'_>, key: &[u8]) -> Result<u64, StoreError> {
    let before = context.get(key)?.map_or(0, |value| u64::from_be_bytes(value[..].try_into().expect("8 bytes")));
    context.put(key, (before + 1).to_be_bytes().to_vec());
    emit(context, key, format!("{}={}", String::from_utf8_lossy(key), before + 1));
    Ok(before + 1)
}

fn emit(context: &mut Context<'_>, key: &[u8], value: String) {
    context.emit(Message { topic: OUT, key: key.to_vec(), value: value.into_bytes() });
}

/// Bytes as a word, which is never empty.
pub(crate) fn hex(bytes: &[u8]) -> String {
    std::iter::once("x".to_owned()).chain(bytes.iter().map(|byte| format!("{byte:02x}"))).collect()
}

fn unhex(word: &str) -> Vec<u8> {
    let digits = word.strip_prefix('x').expect("bytes begin with x");
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}
