#pragma once

#include "broker/streams/stream.h"

namespace feedvault::broker::jetstream {

/// What the service's log says of one stream. Same thread as the stream.

/// What was damaged or unfinished when it was opened.
void log_recovery(const streams::Stream& stream);
/// Its consumers that cannot be used, or were damaged.
void log_consumers(streams::Stream& stream);
/// What an error of the disk has stopped since the last look. `told` is of this stream, false at
/// first.
void log_failures(streams::Stream& stream, bool& told);

}  // namespace feedvault::broker::jetstream
