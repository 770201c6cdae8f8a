#include "controller/feed_metrics.h"

#include <limits>
#include <vector>

namespace feedvault::controller {
namespace {

// 100 us to 100 s, three steps a decade: finer than people look, coarser than would cost.
const std::vector<double> kLatencyBounds = {0.0001,
                                            0.0002,
                                            0.0005,
                                            0.001,
                                            0.002,
                                            0.005,
                                            0.01,
                                            0.02,
                                            0.05,
                                            0.1,
                                            0.2,
                                            0.5,
                                            1,
                                            2,
                                            5,
                                            10,
                                            20,
                                            50,
                                            100};
const std::vector<double> kRowBounds = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};

std::string full_name(const std::string& what) {
  return "feedvault_controller_" + what;
}

}  // namespace

FeedMetrics::FeedMetrics(Metrics& metrics, const std::string& feed) {
  const Metrics::Labels labels = {{"feed", feed}};
  const auto counter = [&](const std::string& what, const std::string& help) {
    return metrics.counter(full_name(what + "_total"), help, labels);
  };
  const auto gauge = [&](const std::string& what, const std::string& help) {
    return metrics.gauge(full_name(what), help, labels);
  };
  received = counter("received", "Messages read from the ingest stream");
  catalogued = counter("catalogued", "Messages committed to table Messages");
  duplicates = counter("duplicates", "Messages dropped: known id, same bytes");
  conflicts = counter("conflicts", "Messages quarantined: known id, other bytes");
  quarantined = counter("quarantined", "Messages quarantined, for any reason");
  requeued = counter("requeued", "Quarantined messages that were catalogued after all");
  gaps = counter("gaps", "Ranges that were missing from the ingest stream");
  missing_messages = counter("missing_messages", "Messages in those ranges, as far as known");
  restored = counter("restored_rows", "Rows that the table had lost and the feed stream held");
  published = counter("published", "Messages that the feed stream acknowledged");
  republished_from_table = counter("republished_from_table", "Rows published out of the table");
  publish_doubts = counter("publish_doubts", "Answers to a publish that were no clean PubAck");
  commits = counter("commits", "Transactions committed");
  sessions = counter("sessions", "Times this process took the feed over");
  session_failures = counter("session_failures", "Sessions that ended with an error");
  broker_reconnects = counter("broker_reconnects", "Lost connections to the broker");
  purged = counter("purges", "Purges of catalogued messages from the ingest stream");

  active = gauge("active", "1 when this process runs the feed, 0 when it is standby or waiting");
  ready = gauge("ready", "1 when the feed makes progress or is standby");
  last_seq = gauge("last_seq", "Highest catalogued seq");
  published_seq = gauge("published_seq", "Highest published seq");
  lag_messages = gauge("lag_messages", "Messages captured and not yet dealt with");
  lag_seconds = gauge("lag_seconds", "Time since the oldest of them was captured");
  unpublished = gauge("unpublished_messages", "Messages catalogued and not yet published");
  silent_seconds = gauge("silent_seconds", "Time since the last message was captured");
  time_to_loss = gauge("time_to_loss_seconds",
                       "Until limits of the ingest stream could delete what is not catalogued; "
                       "infinite without such limits, and where the feed does not run");
  database_durable = gauge("database_durable", "0 when the server's settings can lose commits");

  commit_seconds = metrics.histogram(
      full_name("commit_seconds"), "Duration of a transaction", kLatencyBounds, labels);
  commit_rows = metrics.histogram(
      full_name("commit_messages"), "Messages in a transaction", kRowBounds, labels);
  capture_to_commit_seconds = metrics.histogram(
      full_name("capture_to_commit_seconds"),
      "From storage in the ingest stream to the commit, oldest message of a batch",
      kLatencyBounds,
      labels);
  capture_to_publish_seconds =
      metrics.histogram(full_name("capture_to_publish_seconds"),
                        "From storage in the ingest stream to the feed stream's PubAck, sampled",
                        kLatencyBounds,
                        labels);
  end_session();
}

void FeedMetrics::end_session() const {
  active.set(0);
  lag_messages.set(0);
  lag_seconds.set(0);
  unpublished.set(0);
  silent_seconds.set(0);
  time_to_loss.set(std::numeric_limits<double>::infinity());
}

}  // namespace feedvault::controller
