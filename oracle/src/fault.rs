//! What is wrong, and which invariant says so.

use std::fmt;

/// What holds of every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// The offsets of a partition only rise.
    Offsets,
    /// A key is in the partition of one number in all topics that are read by key.
    Home,
    /// The records that processors write decode.
    Decodes,
    /// A record's key is that of the thing it speaks of.
    Key,
    /// An event's or a click's id stands for one thing.
    Ids,
    /// The log has nothing that nobody sent.
    Sent,
    /// Each order has one conversion, whose revisions are 1, 2, 3 and so on.
    Revisions,
    /// The timeline's entries are numbered 1, 2, 3 and so on, end in the conversion's state, and tell of each fact once.
    Timeline,
    /// Every revision says what the first report in the log says.
    Report,
    /// Each state may follow the one before, and fits what the revision says besides; a clock takes nothing back.
    Course,
    /// Nothing is payable before its hold ends, unless approved; no click is given up before its wait is over.
    Early,
    /// Affiliate, campaign and commission stay as they were when the order was attributed; only refunds change the amount.
    Pinned,
    /// Of several decisions on what was shown the first in the log counts, and each is told as it was made; nobody else
    /// credits anybody with an order that is LOW.
    Review,
    /// Each revision is explained, and by what it says: the arithmetic comes to the commission, which is the rule's that won.
    Explained,
    /// Each order asks once for the click that it names.
    Lookup,
    /// Each order is told once of its click, as it is in the log.
    Verdict,
    /// The topic `commissions` is the changes of what `transitions` says of commissions.
    Commissions,
    /// A ledger entry moves more than 0 between two accounts, has an id of its own, and leaves no account of the
    /// affiliate below 0.
    Entry,
    /// The entries of a revision bring the accounts to what the conversion then says.
    Booked,
    /// The topic `balances` is the fold of `ledger-entries` and `payouts`.
    Balances,
    /// What cannot be processed, and nothing else, is a dead letter, once.
    DeadLetter,
    /// What was answered 202 is in the log, and what is in the log has its conversion.
    Lost,
    /// An answer says what is.
    Answer,
    /// Of all that are recorded of an order, and of a status update of it, the claims call one event the first.
    First,
    /// No report overtakes one that was answered before it was sent.
    Overtaken,
    /// Each conversion ends as the contract says.
    End,
    /// The last balances are what the ends of conversions and payouts say.
    Payout,
    /// A payout is all that was payable at a cut-off, by the terms in force; it ends once, and as was reported first.
    Payouts,
    /// No cut-off passes without the payout that is due.
    CutOff,
    /// The orders of a paid payout, and of those that failed before it, are told of it, each once, and no others are.
    Settled,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Invariant; 30] = [
        Invariant::Offsets,
        Invariant::Home,
        Invariant::Decodes,
        Invariant::Key,
        Invariant::Ids,
        Invariant::Sent,
        Invariant::Revisions,
        Invariant::Timeline,
        Invariant::Report,
        Invariant::Course,
        Invariant::Early,
        Invariant::Pinned,
        Invariant::Review,
        Invariant::Explained,
        Invariant::Lookup,
        Invariant::Verdict,
        Invariant::Commissions,
        Invariant::Entry,
        Invariant::Booked,
        Invariant::Balances,
        Invariant::DeadLetter,
        Invariant::Lost,
        Invariant::Answer,
        Invariant::First,
        Invariant::Overtaken,
        Invariant::End,
        Invariant::Payout,
        Invariant::Payouts,
        Invariant::CutOff,
        Invariant::Settled,
    ];
}

/// One violation of an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What does not hold.
    pub invariant: Invariant,
    /// Of what, and how: begins with the order, account or click.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

/// Faults as they are found.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, invariant: Invariant, what: impl Into<String>) {
        self.0.push(Fault { invariant, what: what.into() });
    }

    /// A fault unless it `holds`.
    pub(crate) fn check(&mut self, invariant: Invariant, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.add(invariant, what());
        }
    }

    pub(crate) fn found(self) -> Vec<Fault> {
        self.0
    }
}
