//! Lag over the last hour as a picture, with the same in words and as a table.

use std::time::Instant;

use super::{
    html::Html,
    words::{direction, duration, duration_if_known},
};
use crate::{
    model::side::Direction,
    sync::status::{History, Moment},
};

/// The picture's size, and where its axes are.
const SIZE: (f64, f64) = (360.0, 150.0);
const LEFT: f64 = 44.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 124.0;
const RIGHT: f64 = 350.0;
/// What the upper end of the axis may stand for, in seconds.
const CEILINGS: [f64; 14] =
    [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 3_600.0, 7_200.0, 21_600.0, 86_400.0];
/// Minutes in a row of the table.
const ROW: u64 = 5;

/// The lags of one direction: minutes ago and seconds, oldest first.
struct Line {
    direction: Direction,
    points: Vec<(f64, Option<f64>)>,
    /// Points further apart than this, in minutes, have nothing between them.
    gap: f64,
    span: f64,
}

/// Both directions, and the table.
pub(super) fn lag(page: &mut Html, history: &History, now: Instant, lags: [Option<f64>; 2]) {
    page.raw("<div class=\"charts\">\n");
    for (index, lag) in Direction::ALL.into_iter().zip(lags).enumerate() {
        Line::of(lag.0, index, history, now).draw(page, lag.1);
    }
    page.raw("</div>\n<details id=\"lag-table\"><summary>The same as a table</summary>\n");
    page.table("Highest lag", ["minutes ago", "legacy → renaissance", "renaissance → legacy"], rows(history, now));
    page.raw("</details>\n");
}

/// The highest lags of each few minutes, newest first.
fn rows(history: &History, now: Instant) -> Vec<[String; 3]> {
    let ago = |moment: &&Moment| now.saturating_duration_since(moment.at).as_secs() / 60;
    let span = history.span().as_secs() / 60;
    let from = (0..span).step_by(usize::try_from(ROW).unwrap_or(1));
    from.map(|from| {
        let highest = |index: usize| {
            let moments = history.moments().filter(|moment| (from..from + ROW).contains(&ago(moment)));
            duration_if_known(moments.filter_map(|moment| moment.lags[index]).reduce(f64::max))
        };
        [format!("{from} to {}", from + ROW), highest(0), highest(1)]
    })
    .collect()
}

impl Line {
    fn of(direction: Direction, index: usize, history: &History, now: Instant) -> Self {
        let minutes = |moment: &Moment| now.saturating_duration_since(moment.at).as_secs_f64() / 60.0;
        let points = history.moments().map(|moment| (minutes(moment), moment.lags[index])).collect();
        let minutes = |duration: std::time::Duration| duration.as_secs_f64() / 60.0;
        Self { direction, points, gap: minutes(history.step()), span: minutes(history.span()) }
    }

    fn draw(&self, page: &mut Html, lag: Option<f64>) {
        let name = direction(self.direction.as_str());
        let highest = self.points.iter().filter_map(|point| point.1).fold(0.0, f64::max);
        let ceiling = CEILINGS.into_iter().find(|ceiling| *ceiling >= highest).unwrap_or(highest);
        page.raw("<figure><figcaption><strong>").text(&name).raw("</strong> <span class=\"now\">");
        page.text(lag.map_or_else(|| "lag unknown".to_owned(), |lag| format!("{} behind", duration(lag))));
        page.raw("</span></figcaption>\n<svg viewBox=\"0 0 360 150\" role=\"img\" aria-label=\"");
        page.text(self.words(&name)).raw("\">\n");
        self.axes(page, ceiling);
        for run in self.runs() {
            self.run(page, &run, ceiling);
        }
        page.raw("</svg></figure>\n");
    }

    /// The picture in words.
    fn words(&self, name: &str) -> String {
        let known = self.points.iter().filter_map(|(ago, lag)| Some((*ago, (*lag)?)));
        let highest = known.reduce(|one, other| if other.1 >= one.1 { other } else { one });
        let unknown = self.points.iter().filter(|point| point.1.is_none()).count();
        let gaps = if unknown > 0 { "; at times it was unknown" } else { "" };
        match highest {
            Some((ago, lag)) => {
                format!("Lag {name} in the last hour: {} at most, {ago:.0} minutes ago{gaps}", duration(lag))
            }
            None => format!("Lag {name}: not known in the last hour"),
        }
    }

    fn x(&self, ago: f64) -> f64 {
        RIGHT - (RIGHT - LEFT) * (ago / self.span).clamp(0.0, 1.0)
    }

    fn axes(&self, page: &mut Html, ceiling: f64) {
        for part in [0.0, 0.5, 1.0] {
            let y = y(part * ceiling, ceiling);
            page.shape(&format!("<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"));
            page.shape(&format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">", LEFT - 6.0, y + 4.0));
            page.text(tick(part * ceiling)).raw("</text>\n");
        }
        for (ago, label) in [(60.0, "60 min ago"), (30.0, "30 min"), (0.0, "now")] {
            let anchor = if ago > 59.0 {
                "start"
            } else if ago > 0.0 {
                "middle"
            } else {
                "end"
            };
            let (x, y) = (self.x(ago), SIZE.1 - 8.0);
            page.shape(&format!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{label}</text>\n"));
        }
    }

    /// What is known without a gap.
    fn runs(&self) -> Vec<Vec<(f64, f64)>> {
        let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
        let mut last = None;
        for (ago, lag) in &self.points {
            if let Some(lag) = lag {
                let follows = last.is_some_and(|last: f64| last - ago <= self.gap);
                match runs.last_mut().filter(|_| follows) {
                    Some(run) => run.push((*ago, *lag)),
                    None => runs.push(vec![(*ago, *lag)]),
                }
            }
            last = lag.map(|_| *ago);
        }
        runs
    }

    fn run(&self, page: &mut Html, run: &[(f64, f64)], ceiling: f64) {
        let at = |(ago, lag): &(f64, f64)| format!("{:.1},{:.1}", self.x(*ago), y(*lag, ceiling));
        if let [only] = run {
            let (x, y) = (self.x(only.0), y(only.1, ceiling));
            page.shape(&format!("<circle class=\"line\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.5\"/>\n"));
            return;
        }
        let (first, last) = (run.first().map_or(0.0, |p| p.0), run.last().map_or(0.0, |p| p.0));
        let points: Vec<_> = run.iter().map(at).collect();
        let points = points.join(" ");
        let (from, to) = (self.x(first), self.x(last));
        page.shape(&format!("<polygon class=\"area\" points=\"{from:.1},{BOTTOM} {points} {to:.1},{BOTTOM}\"/>"));
        page.shape(&format!("<polyline class=\"line\" points=\"{points}\"/>\n"));
    }
}

fn y(lag: f64, ceiling: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * (lag / ceiling).clamp(0.0, 1.0)
}

/// `0`, `0.5 s`, `5 min`, `12 h`.
fn tick(seconds: f64) -> String {
    match seconds {
        0.0 => "0".to_owned(),
        ..60.0 => format!("{seconds} s"),
        60.0..3_600.0 => format!("{} min", seconds / 60.0),
        _ => format!("{} h", (seconds / 360.0).round() / 10.0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        model::fact::{Feed, Lag},
        sync::status::Status,
    };

    #[test]
    fn what_was_not_known_is_a_gap() {
        let (status, now) = (Status::new(Vec::new()), Instant::now() + Duration::from_secs(7_200));
        let way = Direction::LegacyToRenaissance;
        status.feed(way.source(), Feed::Streaming);
        for minute in 0..40 {
            status.lag(way, if (10..20).contains(&minute) { Lag::Unknown } else { Lag::CaughtUp });
            status.sample(now - Duration::from_secs((40 - minute) * 60));
            status.sample(now - Duration::from_secs((40 - minute) * 60 - 15));
            status.sample(now - Duration::from_secs((40 - minute) * 60 - 30));
            status.sample(now - Duration::from_secs((40 - minute) * 60 - 45));
        }
        let mut page = Html::default();
        lag(&mut page, &status.history(), now, [Some(0.0), None]);
        assert_eq!(page.0.matches("<polyline").count(), 2, "{}", page.0);
        assert!(page.0.contains("at times it was unknown") && page.0.contains("not known in the last hour"));
        assert!(page.0.contains("lag unknown") && page.0.contains("0 s behind"));
    }
}
