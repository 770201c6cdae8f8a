#include "broker/parser.h"

#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "broker/limits.h"

namespace feedvault::broker {
namespace {

// nats-server splits arguments at these; a line feed never is among them.
bool is_separator(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

const char* find_line_end(const char* from, const char* end) {
  return static_cast<const char*>(std::memchr(from, '\n', static_cast<std::size_t>(end - from)));
}

// The first byte from `at` on that ends a token of a canonical line: a blank or a control
// character. `end` when there is none. Eight bytes are looked at together: of those that are not
// above ' ' the lowest has its high bit set in `ends`, what is above that one may be wrong.
const char* find_token_end(const char* at, const char* end) {
  constexpr std::uint64_t kEach = 0x0101010101010101;
  if constexpr (std::endian::native == std::endian::little) {
    while (end - at >= 8) {
      std::uint64_t bytes = 0;
      std::memcpy(&bytes, at, sizeof bytes);
      const std::uint64_t ends = (bytes - kEach * (' ' + 1)) & ~bytes & kEach * 0x80;
      if (ends != 0) {
        return at + std::countr_zero(ends) / 8;
      }
      at += 8;
    }
  }
  while (at<end&& static_cast<unsigned char>(*at)> ' ') {
    ++at;
  }
  return at;
}

// A decimal size of 1 to 9 digits at `at`: behind it. Null when there is none.
const char* take_size(const char* at, const char* end, std::uint32_t& size) {
  const char* const begin = at;
  std::uint32_t value = 0;
  while (at < end && static_cast<unsigned char>(*at - '0') <= 9) {
    if (at - begin == static_cast<std::ptrdiff_t>(kSizeDigitsMax)) {
      return nullptr;
    }
    value = value * 10 + static_cast<std::uint32_t>(*at - '0');
    ++at;
  }
  size = value;
  return at == begin ? nullptr : at;
}

std::string_view text_between(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

// What ends a canonical line of PUB or HPUB: "[header_size ]total_size\r\n".
struct Sizes {
  const char* behind = nullptr;  // null: there is something else
  std::uint32_t header_bytes = 0;
  std::uint32_t total_bytes = 0;
  std::string_view header_size;
  std::string_view total_size;
};

inline Sizes take_sizes(const char* at, const char* end, bool with_headers) {
  Sizes sizes;
  if (with_headers) {
    const char* const begin = at;
    at = take_size(at, end, sizes.header_bytes);
    if (at == nullptr || at == end || *at != ' ') {
      return sizes;
    }
    sizes.header_size = text_between(begin, at);
    ++at;
  }
  const char* const begin = at;
  at = take_size(at, end, sizes.total_bytes);
  if (at != nullptr && end - at >= 2 && at[0] == '\r' && at[1] == '\n') {
    sizes.total_size = text_between(begin, at);
    sizes.behind = at + 2;
  }
  return sizes;
}

// Tokens of `text` into `tokens`; their number, or tokens.size() + 1 when there are more.
template <std::size_t N>
std::size_t split(std::string_view text, std::array<std::string_view, N>& tokens) {
  std::size_t count = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    while (at < end && is_separator(*at)) {
      ++at;
    }
    if (at == end) {
      return count;
    }
    const char* const begin = at;
    while (at < end && !is_separator(*at)) {
      ++at;
    }
    if (count == N) {
      return N + 1;
    }
    tokens[count++] = {begin, static_cast<std::size_t>(at - begin)};
  }
}

// What nats-server takes for the arguments of a line: where a \r occurs after the first byte, the
// last byte goes, whatever it is.
std::string_view drop_carriage_return(std::string_view line) {
  if (line.size() < 2) {
    return line;
  }
  if (line.back() == '\r' || std::memchr(line.data() + 1, '\r', line.size() - 1) != nullptr) {
    line.remove_suffix(1);
  }
  return line;
}

}  // namespace

struct Parser::PublishArguments {
  Publish publish;
  std::uint32_t total_bytes = 0;
  bool canonical = false;  // one blank between tokens, none elsewhere
};

std::int64_t parse_size(std::string_view digits) {
  if (digits.empty() || digits.size() > kSizeDigitsMax) {
    return -1;
  }
  std::int64_t size = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') {
      return -1;
    }
    size = size * 10 + (c - '0');
  }
  return size;
}

// The operation that these bytes begin with. kIncomplete: they are the beginning of its name.
Parser::Operation Parser::identify(const char* name, std::size_t size, std::size_t& name_bytes) {
  struct Name {
    std::string_view text;
    Operation operation;
  };
  static constexpr std::array<Name, 10> kNames = {{{"pub", Operation::kPub},
                                                   {"hpub", Operation::kHpub},
                                                   {"sub", Operation::kSub},
                                                   {"unsub", Operation::kUnsub},
                                                   {"connect", Operation::kConnect},
                                                   {"info", Operation::kInfo},
                                                   {"ping", Operation::kPing},
                                                   {"pong", Operation::kPong},
                                                   {"+ok", Operation::kOk},
                                                   {"-err", Operation::kError}}};
  for (const Name& candidate : kNames) {
    const std::size_t compared = std::min(size, candidate.text.size());
    std::size_t same = 0;
    while (same < compared && lower(name[same]) == candidate.text[same]) {
      ++same;
    }
    if (same == candidate.text.size()) {
      name_bytes = same;
      return candidate.operation;
    }
    if (same == size) {
      return Operation::kIncomplete;
    }
  }
  return Operation::kUnknown;
}

bool Parser::ignores_rest(Operation operation) {
  return operation == Operation::kPing || operation == Operation::kPong ||
         operation == Operation::kOk;
}

bool Parser::blank_required(Operation operation) {
  return operation != Operation::kConnect && operation != Operation::kInfo;
}

Parser::Outcome Parser::parse(std::string_view input, ParserSink& sink) {
  const char* at = input.data();
  const char* const end = at + input.size();
  ParseStop stop = ParseStop::kInputConsumed;
  while (at < end && stop == ParseStop::kInputConsumed) {
    if (state_ == State::kName && name_size_ == 0) {
      if (limits_.connect_required && lower(*at) != 'c') {
        stop = ParseStop::kConnectRequired;
        break;
      }
      const Shortcut shortcut = take_canonical_publish(at, end, sink);
      if (shortcut != Shortcut::kNotTaken) {
        stop = shortcut == Shortcut::kTaken ? ParseStop::kInputConsumed : ParseStop::kSinkStopped;
        continue;
      }
      if (const char* const line_end = find_line_end(at, end); line_end != nullptr) {
        stop = parse_line(at, line_end, end, sink);
        continue;
      }
    }
    stop = parse_split(at, end, sink);
  }
  return {stop, static_cast<std::size_t>(at - input.data())};
}

// What client libraries send, in one pass: PUB or HPUB with single blanks and \r\n, whole in the
// input with its payload. Anything else, errors included, is left untouched for the general way.
Parser::Shortcut Parser::take_canonical_publish(const char*& at,
                                                const char* end,
                                                ParserSink& sink) const {
  constexpr std::ptrdiff_t kShortest = sizeof("PUB s 0\r\n\r\n") - 1;
  if (end - at < kShortest) {
    return Shortcut::kNotTaken;
  }
  const bool with_headers = *at == 'H';
  const char* const subject = at + (with_headers ? 5 : 4);
  if (std::memcmp(subject - 4, "PUB ", 4) != 0 || (with_headers && !limits_.headers)) {
    return Shortcut::kNotTaken;
  }
  const char* const subject_end = find_token_end(subject, end);
  if (subject_end == subject || subject_end == end || *subject_end != ' ') {
    return Shortcut::kNotTaken;
  }
  const char* const tail = subject_end + 1;
  std::string_view reply;
  Sizes sizes = take_sizes(tail, end, with_headers);
  if (sizes.behind == nullptr) {
    const char* const reply_end = find_token_end(tail, end);
    if (reply_end == tail || reply_end == end || *reply_end != ' ') {
      return Shortcut::kNotTaken;
    }
    reply = text_between(tail, reply_end);
    sizes = take_sizes(reply_end + 1, end, with_headers);
  }
  const char* const body = sizes.behind;
  if (body == nullptr ||
      body - 2 - subject > static_cast<std::ptrdiff_t>(limits_.max_control_line) ||
      (with_headers && (sizes.header_bytes == 0 || sizes.header_bytes > sizes.total_bytes)) ||
      sizes.total_bytes > limits_.max_payload ||
      end - body < std::ptrdiff_t{sizes.total_bytes} + 2 || body[sizes.total_bytes] != '\r' ||
      body[sizes.total_bytes + 1] != '\n') {
    return Shortcut::kNotTaken;
  }
  at = body + sizes.total_bytes + 2;
  const Publish publish{.subject = text_between(subject, subject_end),
                        .reply = reply,
                        .header_size = sizes.header_size,
                        .total_size = sizes.total_size,
                        .body = {body, sizes.total_bytes},
                        .header_bytes = sizes.header_bytes,
                        .tail = text_between(tail, at)};
  return sink.on_publish(publish) ? Shortcut::kTaken : Shortcut::kSinkStopped;
}

// A control line that is whole in the input. Moves `at` behind what was used.
ParseStop Parser::parse_line(const char*& at,
                             const char* line_end,
                             const char* end,
                             ParserSink& sink) {
  const char* name = at;
  std::size_t name_bytes = 0;
  const auto size = static_cast<std::size_t>(line_end - name);
  Operation operation = Operation::kUnknown;
  if (size > 3 && lower(name[0]) == 'p' && lower(name[1]) == 'u' && lower(name[2]) == 'b') {
    operation = Operation::kPub;
    name_bytes = 3;
  } else {
    operation = identify(name, size, name_bytes);
  }
  if (operation == Operation::kUnknown || operation == Operation::kIncomplete) {
    return ParseStop::kUnknownOperation;
  }
  const char* arguments = name + name_bytes;
  if (!ignores_rest(operation)) {
    if (blank_required(operation) && !is_blank(*arguments)) {
      return ParseStop::kUnknownOperation;
    }
    while (is_blank(*arguments)) {  // ends at the line feed at the latest
      ++arguments;
    }
  }
  at = line_end + 1;
  return handle(
      operation, {arguments, static_cast<std::size_t>(line_end - arguments)}, at, end, sink);
}

ParseStop Parser::parse_split(const char*& at, const char* end, ParserSink& sink) {
  switch (state_) {
    case State::kName:
      return take_name(at, end);
    case State::kBlanks:
      while (at < end && is_blank(*at)) {
        ++at;
      }
      if (at < end) {
        state_ = State::kArguments;
      }
      return ParseStop::kInputConsumed;
    case State::kArguments:
      return take_arguments(at, end, sink);
    case State::kSkipLine: {
      const char* const line_end = find_line_end(at, end);
      if (line_end == nullptr) {
        at = end;
        return ParseStop::kInputConsumed;
      }
      at = line_end + 1;
      state_ = State::kName;
      return handle(operation_, {}, at, end, sink);
    }
    case State::kPayload:
    case State::kPayloadEnd:
    case State::kPayloadEndLf:
      return take_payload(at, end, sink);
  }
  return ParseStop::kUnknownOperation;
}

// Byte by byte: an operation's name was cut by the end of a read.
ParseStop Parser::take_name(const char*& at, const char* end) {
  while (at < end) {
    const char c = *at;
    std::size_t name_bytes = 0;
    if (name_size_ > 0) {
      operation_ = identify(name_, name_size_, name_bytes);
      if (operation_ != Operation::kIncomplete) {
        // The name is complete; this byte must be fit to follow it.
        if (!ignores_rest(operation_) && blank_required(operation_) && !is_blank(c)) {
          return ParseStop::kUnknownOperation;
        }
        name_size_ = 0;
        state_ = ignores_rest(operation_) ? State::kSkipLine : State::kBlanks;
        return ParseStop::kInputConsumed;
      }
    }
    name_[name_size_++] = c;
    ++at;
    if (identify(name_, name_size_, name_bytes) == Operation::kUnknown) {
      return ParseStop::kUnknownOperation;
    }
  }
  return ParseStop::kInputConsumed;
}

ParseStop Parser::take_arguments(const char*& at, const char* end, ParserSink& sink) {
  const char* const line_end = find_line_end(at, end);
  const std::string_view more{
      at, static_cast<std::size_t>((line_end != nullptr ? line_end : end) - at)};
  // One byte more than the limit may be a \r that does not count; the exact check is in handle().
  if (scratch_.size() + more.size() > limits_.max_control_line + 1) {
    return ParseStop::kControlLineTooLong;
  }
  scratch_.append(more);
  if (line_end == nullptr) {
    at = end;
    return drop_carriage_return(scratch_).size() > limits_.max_control_line
               ? ParseStop::kControlLineTooLong
               : ParseStop::kInputConsumed;
  }
  at = line_end + 1;
  state_ = State::kName;
  const std::string line = std::exchange(scratch_, {});
  return handle(operation_, line, at, end, sink);
}

ParseStop Parser::handle(Operation operation,
                         std::string_view line,
                         const char*& at,
                         const char* end,
                         ParserSink& sink) {
  if (!ignores_rest(operation)) {
    line = drop_carriage_return(line);
    if (line.size() > limits_.max_control_line) {
      return ParseStop::kControlLineTooLong;
    }
  }
  const auto stop_unless = [](bool go_on) {
    return go_on ? ParseStop::kInputConsumed : ParseStop::kSinkStopped;
  };
  switch (operation) {
    case Operation::kPub:
    case Operation::kHpub:
      return handle_publish(operation, line, at, end, sink);
    case Operation::kSub:
      return handle_subscribe(line, sink);
    case Operation::kUnsub:
      return handle_unsubscribe(line, sink);
    case Operation::kConnect:
      return stop_unless(sink.on_connect(line));
    case Operation::kInfo:
      return stop_unless(sink.on_info(line));
    case Operation::kPing:
      return stop_unless(sink.on_ping());
    case Operation::kPong:
      return stop_unless(sink.on_pong());
    case Operation::kOk:
      return ParseStop::kInputConsumed;
    case Operation::kError:  // a client that reports an error to us is gone, as in nats-server
      return ParseStop::kBadArguments;
    case Operation::kIncomplete:
    case Operation::kUnknown:
      break;
  }
  return ParseStop::kUnknownOperation;
}

ParseStop Parser::read_publish_arguments(Operation operation,
                                         std::string_view text,
                                         PublishArguments& arguments) const {
  const bool with_headers = operation == Operation::kHpub;
  if (with_headers && !limits_.headers) {
    return ParseStop::kBadArguments;
  }
  std::array<std::string_view, 4> tokens;
  const std::size_t count = split(text, tokens);
  const std::size_t least = with_headers ? 3 : 2;
  if (count != least && count != least + 1) {
    return ParseStop::kBadArguments;
  }
  Publish& publish = arguments.publish;
  publish.subject = tokens[0];
  publish.reply = count > least ? tokens[1] : std::string_view{};
  publish.total_size = tokens[count - 1];
  const std::int64_t total = parse_size(publish.total_size);
  if (total < 0) {
    return ParseStop::kBadArguments;
  }
  if (with_headers) {
    publish.header_size = tokens[count - 2];
    const std::int64_t headers = parse_size(publish.header_size);
    if (headers < 0 || headers > total) {
      return ParseStop::kBadArguments;
    }
    publish.header_bytes = static_cast<std::uint32_t>(headers);
  }
  if (total > limits_.max_payload) {
    return ParseStop::kPayloadTooLarge;
  }
  arguments.total_bytes = static_cast<std::uint32_t>(total);
  std::size_t canonical_size = count - 1;
  bool blanks = tokens[0].data() == text.data();
  for (std::size_t i = 0; i < count; ++i) {
    canonical_size += tokens[i].size();
    blanks = blanks && (i + 1 == count || tokens[i].data()[tokens[i].size()] == ' ');
  }
  // Without headers an HPUB goes out as a MSG, which has one size only.
  arguments.canonical =
      blanks && canonical_size == text.size() && (!with_headers || publish.header_bytes > 0);
  return ParseStop::kInputConsumed;
}

ParseStop Parser::handle_publish(Operation operation,
                                 std::string_view text,
                                 const char*& at,
                                 const char* end,
                                 ParserSink& sink) {
  PublishArguments arguments;
  if (const auto stop = read_publish_arguments(operation, text, arguments);
      stop != ParseStop::kInputConsumed) {
    return stop;
  }
  const char* const body = at;
  const std::size_t total = arguments.total_bytes;
  const auto available = static_cast<std::size_t>(end - body);
  std::size_t line_end_bytes = 0;
  if (available >= total + 1) {
    if (body[total] == '\n') {
      line_end_bytes = 1;  // what a person at a terminal sends; nats-server refuses it
    } else if (body[total] != '\r') {
      return ParseStop::kUnknownOperation;
    } else if (available >= total + 2) {
      if (body[total + 1] != '\n') {
        return ParseStop::kUnknownOperation;
      }
      line_end_bytes = 2;
    }
  }
  if (line_end_bytes == 0) {
    start_split_payload(arguments);
    return ParseStop::kInputConsumed;
  }
  at = body + total + line_end_bytes;
  Publish& publish = arguments.publish;
  publish.body = {body, total};
  // The tail can be sent on as it lies there if the text ends where the payload's line begins.
  const char* const text_end = publish.total_size.data() + publish.total_size.size();
  if (arguments.canonical && line_end_bytes == 2 && text_end + 2 == body && body[-2] == '\r') {
    const char* const begin = publish.subject.data() + publish.subject.size() + 1;
    publish.tail = {begin, static_cast<std::size_t>(at - begin)};
  }
  return sink.on_publish(publish) ? ParseStop::kInputConsumed : ParseStop::kSinkStopped;
}

// The payload has not arrived as a whole: keep the arguments, in canonical form, and collect it
// behind them.
void Parser::start_split_payload(const PublishArguments& arguments) {
  const Publish& publish = arguments.publish;
  split_.subject_bytes = static_cast<std::uint32_t>(publish.subject.size());
  split_.reply_bytes = static_cast<std::uint32_t>(publish.reply.size());
  split_.header_size_bytes = static_cast<std::uint32_t>(publish.header_size.size());
  split_.total_size_bytes = static_cast<std::uint32_t>(publish.total_size.size());
  split_.header_bytes = publish.header_bytes;
  split_.total_bytes = arguments.total_bytes;
  scratch_.assign(publish.subject).push_back(' ');
  if (!publish.reply.empty()) {
    scratch_.append(publish.reply).push_back(' ');
  }
  if (!publish.header_size.empty()) {
    scratch_.append(publish.header_size).push_back(' ');
  }
  scratch_.append(publish.total_size).append("\r\n");
  split_.payload_at = static_cast<std::uint32_t>(scratch_.size());
  payload_missing_ = arguments.total_bytes;
  state_ = State::kPayload;
}

ParseStop Parser::take_payload(const char*& at, const char* end, ParserSink& sink) {
  if (state_ == State::kPayload) {
    const std::size_t taken = std::min(payload_missing_, static_cast<std::size_t>(end - at));
    scratch_.append(at, taken);
    at += taken;
    payload_missing_ -= taken;
    if (payload_missing_ > 0) {
      return ParseStop::kInputConsumed;
    }
    state_ = State::kPayloadEnd;
  }
  while (at < end) {
    const char c = *at++;
    if (c == '\n') {
      return emit_split_publish(sink);
    }
    if (c != '\r' || state_ == State::kPayloadEndLf) {
      return ParseStop::kUnknownOperation;
    }
    state_ = State::kPayloadEndLf;
  }
  return ParseStop::kInputConsumed;
}

ParseStop Parser::emit_split_publish(ParserSink& sink) {
  state_ = State::kName;
  scratch_.append("\r\n");
  const std::string_view text = scratch_;
  CHECK(text.size() == split_.payload_at + split_.total_bytes + std::size_t{2});
  Publish publish;
  std::size_t at = 0;
  const auto take = [&](std::uint32_t bytes) {
    const std::string_view part = text.substr(at, bytes);
    at += bytes > 0 ? bytes + std::size_t{1} : 0;
    return part;
  };
  publish.subject = take(split_.subject_bytes);
  const std::size_t tail_at = at;
  publish.reply = take(split_.reply_bytes);
  publish.header_size = take(split_.header_size_bytes);
  publish.total_size = take(split_.total_size_bytes);
  publish.header_bytes = split_.header_bytes;
  publish.body = text.substr(split_.payload_at, split_.total_bytes);
  if (publish.header_size.empty() || publish.header_bytes > 0) {
    publish.tail = text.substr(tail_at);
  }
  const bool go_on = sink.on_publish(publish);
  reset_scratch();
  return go_on ? ParseStop::kInputConsumed : ParseStop::kSinkStopped;
}

void Parser::reset_scratch() {
  if (scratch_.capacity() > kKeptScratchBytes) {
    std::string().swap(scratch_);  // assigning {} would keep the memory
  } else {
    scratch_.clear();
  }
}

ParseStop Parser::handle_subscribe(std::string_view arguments, ParserSink& sink) {
  std::array<std::string_view, 3> tokens;
  const std::size_t count = split(arguments, tokens);
  if (count != 2 && count != 3) {
    return ParseStop::kBadArguments;
  }
  const std::string_view queue = count == 3 ? tokens[1] : std::string_view{};
  return sink.on_subscribe(tokens[0], queue, tokens[count - 1]) ? ParseStop::kInputConsumed
                                                                : ParseStop::kSinkStopped;
}

ParseStop Parser::handle_unsubscribe(std::string_view arguments, ParserSink& sink) {
  std::array<std::string_view, 2> tokens;
  const std::size_t count = split(arguments, tokens);
  if (count != 1 && count != 2) {
    return ParseStop::kBadArguments;
  }
  const std::int64_t max = count == 2 ? parse_size(tokens[1]) : -1;
  return sink.on_unsubscribe(tokens[0], max) ? ParseStop::kInputConsumed : ParseStop::kSinkStopped;
}

}  // namespace feedvault::broker
