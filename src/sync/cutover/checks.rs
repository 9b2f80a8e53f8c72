//! What has to hold before a person is asked to wait: looked at before the fence, so that nobody waits in vain.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Finding, Mover, compare::unsettled};
use crate::{
    error::{Error, Result},
    model::{
        cutover::CutoverRow,
        fact::{DaemonState, Feed, SweepKind},
        key::{EntityIndex, RenaissanceId},
        person::persons,
        side::Side,
    },
    sync::{
        ports::{
            CutoverMirror, CutoverStore, HealingStore, Journey, LegacyStore, RenaissanceStore, Source, Standing,
            VerifyStore,
        },
        queue::HintQueue,
        status::PauseReport,
    },
};

/// A direction that is further behind is left to catch up first.
const LAG: f64 = 10.0;
/// How long a daemon may take to know how far behind it is.
const SOON: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a round trip of a marker through both logs may take.
const ROUND_TRIP: Duration = Duration::from_secs(10);
/// How long a proof of the way back holds, and that everything was copied.
const HOLDS: Duration = Duration::from_secs(10);

/// A person's row, their renaissance id, and what is in the way.
pub(super) type Checked = (Option<Standing>, Option<RenaissanceId>, Vec<Finding>);

impl<L, R, SL, SR, Q> Mover<'_, L, R, SL, SR, Q>
where
    L: LegacyStore + CutoverMirror,
    R: RenaissanceStore + HealingStore + VerifyStore + CutoverStore,
    SL: Source,
    SR: Source,
    Q: HintQueue,
{
    /// Everything that is in the way of a move, warnings included. Changes nothing of anybody's.
    pub(super) async fn checked(&self, journey: &Journey) -> Result<Checked> {
        let standing = self.store().standings(&[journey.person]).await?.into_iter().next();
        let (renaissance, mut findings) = self.linked(journey).await?;
        findings.extend(self.until_streaming().await);
        findings.extend(self.paused(journey));
        findings.extend(self.store().unsettled(journey.person).await?.iter().map(unsettled));
        findings.extend(self.ahead(journey, standing.as_ref()).await?);
        findings.extend(self.ways_open().await);
        findings.extend(self.verified().await?);
        Ok((standing, renaissance, findings))
    }

    async fn linked(&self, journey: &Journey) -> Result<(Option<RenaissanceId>, Vec<Finding>)> {
        for (entity, _) in persons(self.entities) {
            let links = self.store().resolve(entity, &[journey.person], &[]).await?;
            let Some(found) = links.into_iter().next() else { continue };
            let renaissance = Some(found.link.renaissance);
            if found.link.base.is_some() {
                return Ok((renaissance, Vec::new()));
            }
            return Ok((renaissance, vec![unlinked(journey)]));
        }
        Ok((None, vec![unlinked(journey)]))
    }

    /// One that has only just started is given a moment.
    async fn until_streaming(&self) -> Vec<Finding> {
        let until = Instant::now() + SOON;
        loop {
            let findings = self.streaming();
            if findings.is_empty() || Instant::now() >= until {
                return findings;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Whether the daemon follows both logs closely.
    fn streaming(&self) -> Vec<Finding> {
        let (now, mut findings) = (self.status.snapshot(), Vec::new());
        let fix = "biograph-bridge status";
        if now.state != DaemonState::Streaming.as_str() && now.state != DaemonState::Paused.as_str() {
            findings.push(Finding::new("state", format!("the daemon is {}", now.state)).with_fix(fix));
        }
        for (side, report) in now.sides.iter().filter(|(_, report)| report.feed != Feed::Streaming.as_str()) {
            findings.push(Finding::new("state", format!("{side} is {}", report.feed)).with_fix(fix));
        }
        for (way, report) in &now.directions {
            let detail = match report.lag_seconds {
                Some(lag) if lag <= LAG => continue,
                Some(lag) => format!("{way} is {lag:.0} s behind, more than {LAG:.0} s"),
                None => format!("how far {way} is behind is not known"),
            };
            findings.push(Finding::new("lag", detail).with_fix(fix));
        }
        findings
    }

    fn paused(&self, journey: &Journey) -> Vec<Finding> {
        let now = self.reconciler.pauses().now();
        let about = now.0.iter().filter(|pause| pause.scope.person.is_none_or(|person| person == journey.person));
        let name =
            |index: EntityIndex| self.entities.get(usize::from(index.0)).map_or("", |e| e.name.as_str()).to_owned();
        let shown = about.map(|pause| PauseReport::new(pause, name));
        shown.map(|pause| Finding::new("pauses", pause.line()).with_fix(pause.fix())).collect()
    }

    /// A mirror of a later epoch would never follow the row again.
    async fn ahead(&self, journey: &Journey, standing: Option<&Standing>) -> Result<Option<Finding>> {
        let row = standing.map_or(CutoverRow::UNMOVED, |standing| standing.row);
        let mirrored = self.legacy().mirrored(&[journey.person]).await?;
        let ahead = mirrored.first().filter(|(_, epoch)| *epoch > row.epoch);
        Ok(ahead.map(|(_, epoch)| {
            let detail = format!("the mirror in MongoDB is at epoch {epoch}, ahead of the state ({})", row.epoch);
            Finding::new("mirror", detail).with_fix(
                "was Postgres put back to an earlier state? Once it is clear on which side this person is, delete their document in \
                 biograph_bridge_cutover",
            )
        }))
    }

    /// Whether everything was copied once, and both logs and both places where people are noted take what the bridge writes.
    async fn ways_open(&self) -> Vec<Finding> {
        let mut proven = self.proven.lock().await;
        if proven.is_some_and(|at| at.elapsed() < HOLDS) {
            return Vec::new();
        }
        let mut findings = match self.copied().await {
            Ok(findings) => findings,
            Err(error) => vec![Finding::failed("backfill", &error)],
        };
        let late = |_| Err(Error::retry(format!("not within {} s", ROUND_TRIP.as_secs())));
        let markers = async {
            let mark = self.mark().await?;
            self.marks().passed(&mark, ROUND_TRIP).await
        };
        for (check, outcome) in [
            ("round trip", timeout(ROUND_TRIP, markers).await.unwrap_or_else(late)),
            ("state", timeout(ROUND_TRIP, self.store().try_state()).await.unwrap_or_else(late)),
            ("mirror", timeout(ROUND_TRIP, self.legacy().try_mirror()).await.unwrap_or_else(late)),
        ] {
            findings.extend(outcome.err().map(|error| Finding::failed(check, &error)));
        }
        *proven = findings.is_empty().then(Instant::now);
        findings
    }

    /// What the last comparison said: it does not keep anybody, as all that is theirs is compared again before they change sides.
    async fn verified(&self) -> Result<Vec<Finding>> {
        let last = self.store().last_verified().await?;
        let (mut never, mut said) = (Vec::new(), Vec::new());
        for (index, entity) in (0..=u16::MAX).map(EntityIndex).zip(self.entities) {
            let name = entity.name.as_str();
            match last.iter().find(|verified| verified.entity == index) {
                None => never.push(name),
                Some(verified) if verified.counts.differing > 0 => {
                    let detail = format!("{name}: {} records differed at {}", verified.counts.differing, verified.at);
                    said.push((detail, format!("biograph-bridge verify --entity {name}")));
                }
                Some(_) => {}
            }
        }
        if !never.is_empty() {
            let fix = if never.len() == self.entities.len() {
                "biograph-bridge verify".to_owned()
            } else {
                never.iter().fold("biograph-bridge verify".to_owned(), |fix, name| format!("{fix} --entity {name}"))
            };
            said.push((format!("never verified: {}", never.join(", ")), fix));
        }
        let warning = |(detail, fix)| Finding { warning: true, ..Finding::new("verify", detail).with_fix(fix) };
        Ok(said.into_iter().map(warning).collect())
    }

    async fn copied(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for (index, entity) in (0..=u16::MAX).map(EntityIndex).zip(self.entities) {
            for side in Side::ALL {
                if !self.store().sweep(index, side, SweepKind::Backfill).await?.done {
                    let detail = format!("{}: not everything in {side} was copied yet", entity.name);
                    findings.push(Finding::new("backfill", detail).with_fix("biograph-bridge backfill"));
                }
            }
        }
        Ok(findings)
    }
}

fn unlinked(journey: &Journey) -> Finding {
    let fix = format!("biograph-bridge explain legacy:{}", journey.person);
    Finding::new("link", "this person is not linked on both sides").with_fix(fix)
}
