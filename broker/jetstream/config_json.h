#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "broker/jetstream/json_reader.h"
#include "broker/streams/consumer_config.h"
#include "broker/streams/stream_config.h"

namespace feedvault::broker::jetstream {

// Private to the wire API: configurations as JSON, with the reference's names, order and defaults.

/// What is written: fields stay in the order in which they were put in.
using Json = nlohmann::ordered_json;

/// False when it is not one. Nothing is checked beyond types and words.
bool read_stream_config(const ReadJson& json, streams::StreamConfig& config);
bool read_consumer_config(const ReadJson& json, streams::ConsumerConfig& config);

Json stream_config_json(const streams::StreamConfig& config);
Json consumer_config_json(const streams::ConsumerConfig& config);

/// RFC 3339 with nanoseconds; 0, which stands for none, is the reference's zero time.
std::string json_time_text(std::int64_t unix_ns);

}  // namespace feedvault::broker::jetstream
