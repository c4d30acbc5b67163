//! Every outcome of a claim, for every order in which answers get lost and others come first.

use std::time::Duration;

use tokio::time::Instant;

use super::super::{ConversionRow, CqlClaims};
use super::table::{Before, MINE, Read, Scripted, Write};
use super::{ID, claim};
use crate::claims::{Claim, Claims};

const TIMEOUT: Duration = Duration::from_millis(900);
const DIGEST: [u8; 16] = [9; 16];

/// What a caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Claimed,
    Taken,
    /// Nothing, at once or as soon as that was clear.
    Failed,
    /// Nothing, when the time was over.
    TimedOut,
}

/// What happens, and what comes of it. What is not said works, and nobody else is there.
#[derive(Debug)]
struct Case<'a> {
    name: &'a str,
    writes: &'a [Write],
    reads: &'a [Read],
    before: &'a [Before],
    told: Told,
    /// Whose claim it is in the end.
    row: Option<&'a str>,
    /// Writes and serial reads that it took.
    asked: (usize, usize),
}

impl Case<'_> {
    fn table(&self) -> Scripted {
        let table = Scripted::default();
        let mut rows = table.rows();
        rows.writes.extend(self.writes);
        rows.reads.extend(self.reads);
        rows.before.extend(self.before);
        drop(rows);
        table
    }

    fn told<R>(&self, began: Instant, claim: Result<Claim<R>, crate::ClaimError>) {
        let in_time = began.elapsed() < TIMEOUT;
        let told = match claim {
            Ok(Claim::Claimed) => Told::Claimed,
            Ok(Claim::Taken(_)) => Told::Taken,
            Err(_) if in_time => Told::Failed,
            Err(_) => Told::TimedOut,
        };
        assert!(began.elapsed() <= TIMEOUT, "{}: after {:?}", self.name, began.elapsed());
        assert_eq!(told, self.told, "{}", self.name);
    }

    fn asked(&self, table: &Scripted) {
        let rows = table.rows();
        assert_eq!((rows.written, rows.looked), self.asked, "{}", self.name);
    }
}

async fn check(case: Case<'_>) {
    let table = case.table();
    let claims = CqlClaims::over(table.clone(), TIMEOUT);
    let began = Instant::now();
    case.told(began, claims.claim_conversion(ID, &claim(MINE, 2)).await);
    let claimed_by = table.rows().conversions.get(&ID).map(|row| row.claimed_by.clone());
    assert_eq!(claimed_by.as_deref(), case.row, "{}", case.name);
    case.asked(&table);
    let stats = claims.stats();
    let (made, taken, failed) = (stats.made == 1, stats.taken == 1, stats.failed == 1);
    assert_eq!(
        (made, taken, failed),
        (case.told == Told::Claimed, case.told == Told::Taken, matches!(case.told, Told::Failed | Told::TimedOut))
    );
    assert_eq!(stats.resolved == 1, !failed && stats.ambiguous > 0, "{}: {stats:?}", case.name);
    assert_eq!(stats.latencies.buckets.iter().sum::<u64>(), 1);

    // The same of a status update.
    let table = case.table();
    let claims = CqlClaims::over(table.clone(), TIMEOUT);
    let began = Instant::now();
    case.told(began, claims.claim_status(DIGEST, MINE).await);
    assert_eq!(table.rows().statuses.get(&DIGEST).map(String::as_str), case.row, "{}", case.name);
    case.asked(&table);
}

#[tokio::test(start_paused = true)]
async fn answers_that_come() {
    let case = |name, before, told, row| Case { name, writes: &[], reads: &[], before, told, row, asked: (1, 0) };
    check(case("nobody was there", &[], Told::Claimed, Some(MINE))).await;
    check(case("somebody was", &[Before::Competitor], Told::Taken, Some("competitor"))).await;
    check(case("the keeper was faster", &[Before::Keeper], Told::Claimed, Some(MINE))).await;
    let refused = Case { writes: &[Write::Refused], ..case("it is not let in", &[], Told::Failed, None) };
    check(refused).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_is_looked_up() {
    use Before::{Competitor, Keeper, Quiet};
    let case = |name, writes, before, told, row, asked| Case { name, writes, reads: &[], before, told, row, asked };
    let lost: &[Write] = &[Write::Lost];
    check(case("it was applied", &[Write::Unanswered], &[], Told::Claimed, Some(MINE), (1, 1))).await;
    check(case("it was not", lost, &[], Told::Claimed, Some(MINE), (2, 1))).await;
    check(case("another's was", lost, &[Quiet, Competitor], Told::Taken, Some("competitor"), (1, 1))).await;
    check(case("another's after the look", lost, &[Quiet, Quiet, Competitor], Told::Taken, Some("competitor"), (2, 1)))
        .await;
    check(case("the keeper's", lost, &[Quiet, Keeper], Told::Claimed, Some(MINE), (1, 1))).await;
    check(case("the keeper's after the look", lost, &[Quiet, Quiet, Keeper], Told::Claimed, Some(MINE), (2, 1))).await;
    check(case(
        "another's was there, and that is lost",
        &[Write::Unanswered],
        &[Competitor],
        Told::Taken,
        Some("competitor"),
        (1, 1),
    ))
    .await;
    // Sent again 10 ms later: the first arrives between the look and the second.
    let late: &[Write] = &[Write::Late(Duration::from_millis(5))];
    check(case("it was late", late, &[], Told::Claimed, Some(MINE), (2, 1))).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_found_out_is_no_answer() {
    let case = |name, writes, reads, told, row, asked| Case { name, writes, reads, before: &[], told, row, asked };
    let unanswered: &[Write] = &[Write::Unanswered];
    check(case("lost each time", &[Write::Lost; 9], &[], Told::Failed, None, (3, 3))).await;
    check(case("lost, then refused", &[Write::Lost, Write::Refused], &[], Told::Failed, None, (2, 1))).await;
    check(case("the look fails twice", unanswered, &[Read::Fails; 2], Told::Claimed, Some(MINE), (1, 3))).await;
    check(case("the look fails for good", unanswered, &[Read::Fails; 9], Told::Failed, Some(MINE), (1, 3))).await;
    check(case("the server is away by then", unanswered, &[Read::Away], Told::Failed, Some(MINE), (1, 1))).await;
    check(case("no answer at all", &[Write::Hangs], &[], Told::TimedOut, Some(MINE), (1, 0))).await;
    check(case("no answer to the look", unanswered, &[Read::Hangs], Told::TimedOut, Some(MINE), (1, 1))).await;
}

/// A row that is moved to the first report in the log is still its claimant's, and never that report's.
#[tokio::test(start_paused = true)]
async fn the_claimant_counts_and_not_the_report_that_stands() {
    for (claimed_by, stands, expected) in [(MINE, "other", true), ("other", MINE, false)] {
        let table = Scripted::default();
        let row = ConversionRow { claimed_by: claimed_by.to_owned(), claim: claim(stands, 1) };
        table.rows().conversions.insert(ID, row);
        let claims = CqlClaims::over(table, TIMEOUT);
        let told = claims.claim_conversion(ID, &claim(MINE, 2)).await.expect("told");
        assert_eq!(told, if expected { Claim::Claimed } else { Claim::Taken(claim(stands, 1)) });
        assert_eq!(Claims::conversion(&claims, ID).await.expect("read"), Some(claim(stands, 1)));
    }
}
