#pragma once

#include <cstddef>
#include <string_view>

#include "base/clock.h"
#include "broker/store/message.h"

namespace feedvault::broker::streams {

using store::StreamSeq;

/// All consumers of one stream, as the stream sees them. Implemented by the consumers' room; owned
/// by the stream, which makes it with its factory (StreamOptions). Same thread as the stream.
/// Unless said otherwise a method may call the stream's const methods and acknowledged(), nothing
/// else.
class StreamConsumers {
 public:
  virtual ~StreamConsumers() = default;

  virtual std::size_t count() const = 0;

  /// Messages up to stream.visible_seq() can be shown now; they were not before. Once a commit.
  virtual void on_visible() = 0;

  /// The same up to stream.written_seq(), for those that do not wait for the disk.
  virtual void on_written() = 0;
  virtual bool wants_written() const = 0;

  /// Messages within [first, last] were removed, perhaps not all of them, perhaps ones that were
  /// never visible: by limits, age, purge, deletion, rollup or acknowledgement. The log does not
  /// have them any more. Not called for what acknowledged() removes, during that call.
  virtual void on_removed(StreamSeq first, StreamSeq last) = 0;

  /// The stream's configuration has changed (stream.config() is the new one).
  virtual void on_config_changed() = 0;

  /// The stream goes away: waiting requests get "409 Consumer Deleted", files are removed. The
  /// object is destroyed next.
  virtual void on_stream_deleted() = 0;

  /// The broker stops: waiting requests get "409 Server Shutdown", state is written durably.
  virtual void on_shutdown() = 0;

  // For interest and workqueue retention.

  /// Would any consumer get a message that arrives now on this subject?
  virtual bool wants(std::string_view subject) const = 0;
  /// Interest: does any consumer that matches the subject still have to get it or acknowledge it?
  virtual bool needs(StreamSeq seq, std::string_view subject) const = 0;
  /// Workqueue: has a consumer that matches the subject acknowledged it? (Only asked at start,
  /// about messages that a power cut brought back.)
  virtual bool is_done(StreamSeq seq, std::string_view subject) const = 0;

  /// When on_timer() wants to be called; SteadyTime::max() for never.
  virtual SteadyTime next_deadline() const = 0;
  virtual void on_timer() = 0;
};

}  // namespace feedvault::broker::streams
