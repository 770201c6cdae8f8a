#include "broker/jetstream/service_log.h"

#include <string>

#include "base/log.h"
#include "broker/store/message_log.h"
#include "broker/streams/consumer_set.h"

namespace feedvault::broker::jetstream {

using streams::Stream;

void log_recovery(const Stream& stream) {
  const store::RecoveryReport& report = stream.recovery();
  for (const store::Damage& damage : report.damage) {
    logger("streams")->error(
        "damaged stream={} file={} offset={} first_seq={} last_seq={} what=\"{}\"",
        stream.name(),
        damage.file,
        damage.offset,
        damage.first_seq,
        damage.last_seq,
        damage.what);
  }
  if (report.cut_bytes > 0) {
    logger("streams")->info(
        "unfinished write cut off stream={} bytes={}", stream.name(), report.cut_bytes);
  }
}

void log_consumers(Stream& stream) {
  const streams::ConsumerSet& consumers = streams::consumers_of(stream);
  for (const streams::ConsumerSet::Unusable& each : consumers.unusable()) {
    logger("streams")->error(
        "unusable consumer stream={} file={} error=\"{}\"; left as it is: restore the file from a "
        "backup, or move it away and create the consumer again (messages will come again)",
        stream.name(),
        each.path,
        each.why.message());
  }
  for (const std::string& name : consumers.damaged()) {
    logger("streams")->error(
        "damaged consumer stream={} consumer={}; its newest changes are unreadable, so messages "
        "will come again",
        stream.name(),
        name);
  }
}

void log_failures(Stream& stream, bool& told) {
  if (const Status failure = stream.failure(); !failure.ok() && !told) {
    told = true;
    logger("streams")->error("stream stopped stream={} error=\"{}\"; what waits is refused",
                             stream.name(),
                             failure.message());
  }
  for (const auto& [consumer, why] : streams::consumers_of(stream).take_failed()) {
    logger("streams")->error(
        "consumer stopped stream={} consumer={} error=\"{}\"; it delivers nothing more",
        stream.name(),
        consumer,
        why.message());
  }
}

}  // namespace feedvault::broker::jetstream
