#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace feedvault::broker {

/// A PUB or HPUB with its payload. Views live until the sink returns.
struct Publish {
  std::string_view subject;
  std::string_view reply;        // "" when absent
  std::string_view header_size;  // the token as sent; "" for PUB
  std::string_view total_size;   // the token as sent
  std::string_view body;         // headers, then payload
  std::uint32_t header_bytes = 0;
  /// All that followed the subject, exactly as a MSG or HMSG repeats it after the sid:
  /// "[reply ][header_size ]total_size\r\nbody\r\n". Empty when the client wrote it otherwise (two
  /// blanks, bare line feeds ...) and it must be put together from the parts.
  std::string_view tail;
};

/// Receives what the parser finds. Each returns false to make the parser stop before the next
/// operation. Views live until the call returns.
class ParserSink {
 public:
  virtual ~ParserSink() = default;
  virtual bool on_connect(std::string_view json) = 0;
  virtual bool on_info(std::string_view json) = 0;
  virtual bool on_ping() = 0;
  virtual bool on_pong() = 0;
  virtual bool on_publish(const Publish& publish) = 0;
  /// `queue` is "" when absent.
  virtual bool on_subscribe(std::string_view subject,
                            std::string_view queue,
                            std::string_view sid) = 0;
  /// `max` messages since the subscription was made; 0 or less: at once.
  virtual bool on_unsubscribe(std::string_view sid, std::int64_t max) = 0;
};

/// Why parsing stopped. What the client is told, and that its connection closes, is the caller's.
enum class ParseStop : std::uint8_t {
  kInputConsumed,       // all is well: give more
  kSinkStopped,         // the sink returned false; `consumed` says where
  kUnknownOperation,    // -ERR 'Unknown Protocol Operation'
  kControlLineTooLong,  // -ERR 'maximum control line exceeded'
  kPayloadTooLarge,     // -ERR 'Maximum Payload Violation'
  kConnectRequired,     // first operation must be CONNECT: -ERR 'Authorization Violation'
  kBadArguments,        // closed without a word, as nats-server does
};

/// The client's side of the NATS protocol: bytes in, operations out, however the bytes are split.
/// Knows no connection and no socket. Input that holds whole operations is parsed where it lies,
/// nothing is copied or allocated; what is split goes to a scratch that never exceeds
/// max_control_line + max_payload and grows only with what has arrived. One thread.
///
/// After anything but kInputConsumed and kSinkStopped the parser must not be used again.
class Parser {
 public:
  struct Limits {
    std::size_t max_control_line = 4096;  // bytes of arguments
    std::uint32_t max_payload = 1U << 20U;
    bool headers = false;           // HPUB is allowed
    bool connect_required = false;  // nothing but CONNECT is allowed
  };
  struct Outcome {
    ParseStop stop = ParseStop::kInputConsumed;
    std::size_t consumed = 0;  // bytes of the input
  };

  /// May be changed between operations, also by the sink while it is being called.
  Limits& limits() { return limits_; }
  Outcome parse(std::string_view input, ParserSink& sink);

  /// Bytes held for a split operation.
  std::size_t scratch_bytes() const { return scratch_.capacity(); }

 private:
  enum class State : std::uint8_t {
    kName,        // in an operation's name: name_ holds what came so far
    kBlanks,      // between the name and its arguments
    kArguments,   // scratch_ holds what came so far
    kSkipLine,    // to the line's end, whatever comes
    kPayload,     // scratch_ holds tail text and payload so far
    kPayloadEnd,  // \r\n or \n is next
    kPayloadEndLf
  };
  enum class Operation : std::uint8_t {
    kPub,
    kHpub,
    kSub,
    kUnsub,
    kConnect,
    kInfo,
    kPing,
    kPong,
    kOk,
    kError,
    kIncomplete,
    kUnknown
  };
  struct PublishArguments;
  /// Where the pieces of a split publish lie in scratch_.
  struct SplitPublish {
    std::uint32_t subject_bytes = 0;
    std::uint32_t reply_bytes = 0;
    std::uint32_t header_size_bytes = 0;
    std::uint32_t total_size_bytes = 0;
    std::uint32_t header_bytes = 0;
    std::uint32_t total_bytes = 0;
    std::uint32_t payload_at = 0;
  };

  static Operation identify(const char* name, std::size_t size, std::size_t& name_bytes);
  static bool ignores_rest(Operation operation);
  static bool blank_required(Operation operation);

  enum class Shortcut : std::uint8_t { kNotTaken, kTaken, kSinkStopped };
  Shortcut take_canonical_publish(const char*& at, const char* end, ParserSink& sink) const;
  ParseStop parse_line(const char*& at, const char* line_end, const char* end, ParserSink& sink);
  ParseStop parse_split(const char*& at, const char* end, ParserSink& sink);
  ParseStop take_name(const char*& at, const char* end);
  ParseStop take_arguments(const char*& at, const char* end, ParserSink& sink);
  ParseStop take_payload(const char*& at, const char* end, ParserSink& sink);

  ParseStop handle(Operation operation,
                   std::string_view line,
                   const char*& at,
                   const char* end,
                   ParserSink& sink);
  ParseStop handle_publish(Operation operation,
                           std::string_view arguments,
                           const char*& at,
                           const char* end,
                           ParserSink& sink);
  static ParseStop handle_subscribe(std::string_view arguments, ParserSink& sink);
  static ParseStop handle_unsubscribe(std::string_view arguments, ParserSink& sink);
  ParseStop read_publish_arguments(Operation operation,
                                   std::string_view text,
                                   PublishArguments& arguments) const;
  void start_split_payload(const PublishArguments& arguments);
  ParseStop emit_split_publish(ParserSink& sink);
  void reset_scratch();

  Limits limits_;
  State state_ = State::kName;
  Operation operation_ = Operation::kIncomplete;
  std::uint8_t name_size_ = 0;
  char name_[8] = {};
  std::size_t payload_missing_ = 0;
  SplitPublish split_;
  std::string scratch_;
};

/// A decimal size of 1 to 9 digits; -1 for anything else.
std::int64_t parse_size(std::string_view digits);

}  // namespace feedvault::broker
