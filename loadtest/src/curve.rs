//! How many units were told sold, over time: the curve of a run, by the clients' own clock.

use std::time::Duration;

use sellout::wire::SeriesPoint;

/// Points of a curve: what a page draws, and a kept run has room for.
const POINTS_MAX: usize = 120;

/// Each yes and when it was heard, in the order in which they were.
#[derive(Default)]
pub struct Curve(Vec<(Duration, i64)>);

impl Curve {
    /// So many units more, so long after the first request.
    pub fn sold(&mut self, since: Duration, units: i64) {
        self.0.push((since, units));
    }

    /// At most so many points, at even distances from the first request to the `end`; the last one has all
    /// units.
    pub fn points(&self, end: Duration) -> Vec<SeriesPoint> {
        let Some((last, _)) = self.0.last() else { return Vec::new() };
        let whole = end.max(*last);
        let mut yeses = self.0.iter().peekable();
        let (mut points, mut sold) = (Vec::<SeriesPoint>::with_capacity(POINTS_MAX), 0);
        for n in 0..POINTS_MAX {
            let until = whole.mul_f64(n as f64 / (POINTS_MAX - 1) as f64);
            let is_last = n == POINTS_MAX - 1;
            while let Some((_, units)) = yeses.next_if(|(at, _)| is_last || *at <= until) {
                sold += units;
            }
            let point = SeriesPoint { ms: millis(until), sold };
            match points.last_mut() {
                // A run of few milliseconds has fewer points than that.
                Some(previous) if previous.ms == point.ms => *previous = point,
                _ => points.push(point),
            }
        }
        points
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_has_so_many_points_and_ends_with_all_units() {
        let mut curve = Curve::default();
        for n in 0..10_000 {
            curve.sold(Duration::from_micros(n * 500), 2);
        }
        let points = curve.points(Duration::from_secs(10));
        assert_eq!(points.len(), POINTS_MAX);
        assert_eq!(points[0], SeriesPoint { ms: 0, sold: 2 });
        assert_eq!(points.last(), Some(&SeriesPoint { ms: 10_000, sold: 20_000 }));
        assert!(points.is_sorted_by(|a, b| a.ms < b.ms && a.sold <= b.sold), "{points:?}");
        let half = points.iter().find(|point| point.ms >= 2_500).unwrap();
        assert!((10_000..10_200).contains(&half.sold), "half of the time that it sold in: {half:?}");
    }

    #[test]
    fn a_run_of_three_milliseconds_has_four_points_and_one_without_a_yes_has_none() {
        let mut curve = Curve::default();
        assert_eq!(curve.points(Duration::from_secs(9)), []);
        curve.sold(Duration::from_micros(1_200), 1);
        curve.sold(Duration::from_micros(3_100), 1);
        let points: Vec<_> = curve.points(Duration::ZERO).iter().map(|p| (p.ms, p.sold)).collect();
        assert_eq!(points, [(0, 0), (1, 1), (2, 1), (3, 2)]);
    }
}
