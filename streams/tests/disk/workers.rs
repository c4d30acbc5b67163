//! Two processors in a row: one counts and sets timers, the other repeats what the first says.

use streams::{Context, DeadLetter, Failure, Input, Message, Processor, Topic};

pub(crate) const IN: Topic = Topic { id: 1, name: "in" };
pub(crate) const OUT: Topic = Topic { id: 2, name: "out" };
pub(crate) const ECHO: Topic = Topic { id: 3, name: "echo" };
/// All that records may be in.
pub(crate) const TOPICS: [Topic; 3] = [IN, OUT, ECHO];

/// What a processor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worker {
    /// Counts the records of `IN` by key and sets a timer for each.
    Tally,
    /// Writes to `ECHO` what is in `OUT`.
    Echo,
}

pub(crate) const WORKERS: [Worker; 2] = [Worker::Tally, Worker::Echo];

/// How long after a record its timer is due.
pub(crate) const TIMER_MS: i64 = 700;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("all of it is text")
}

fn increment(context: &mut Context<'_>, row: &[u8]) -> Result<u64, Failure> {
    let before = context.get(row)?.map_or(0, |value| text(&value).parse().expect("a number"));
    context.put(row, (before + 1).to_string().into_bytes());
    Ok(before + 1)
}

fn emit(context: &mut Context<'_>, topic: Topic, key: &[u8], value: String) {
    context.emit(Message { topic, key: key.to_vec(), value: value.into_bytes() });
}

impl Processor for Worker {
    fn name(&self) -> &'static str {
        match self {
            Worker::Tally => "tally",
            Worker::Echo => "echo",
        }
    }

    fn inputs(&self) -> Vec<Topic> {
        match self {
            Worker::Tally => vec![IN],
            Worker::Echo => vec![OUT],
        }
    }

    fn state_version(&self) -> u32 {
        1
    }

    fn apply(&self, context: &mut Context<'_>, input: Input<'_>) -> Result<(), Failure> {
        match self {
            Worker::Tally => {
                let id = text(input.value).split(' ').next().expect("the id is the first word");
                let count = increment(context, input.key)?;
                let due_ms = context.now_ms() + TIMER_MS;
                context.set_timer(due_ms, id.as_bytes());
                emit(context, OUT, input.key, format!("{id} {count} {due_ms}"));
            }
            Worker::Echo => {
                increment(context, b"seen")?;
                emit(context, ECHO, input.key, text(input.value).to_owned());
            }
        }
        Ok(())
    }

    fn timer(&self, context: &mut Context<'_>, key: &[u8]) -> Result<(), Failure> {
        let now_ms = context.now_ms();
        emit(context, OUT, b"fired", format!("{} {now_ms}", text(key)));
        Ok(())
    }

    fn dead_letter(&self, letter: DeadLetter<'_>) -> Message {
        panic!("nothing is refused: {letter:?}")
    }
}
