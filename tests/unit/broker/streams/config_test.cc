// Which configurations are refused, with which error; which defaults the others get.

#include <functional>

#include <gtest/gtest.h>

#include "broker/streams/consumer_config.h"
#include "broker/streams/stream_config.h"

namespace feedvault::broker::streams {
namespace {

StreamConfig a_stream() {
  StreamConfig config;
  config.name = "ORD";
  config.subjects = {"ord.>"};
  return config;
}

std::string text_of(const std::optional<ApiError>& error) {
  return error.has_value() ? std::to_string(error->code) + "/" + std::to_string(error->err_code) +
                                 " " + error->description
                           : "fine";
}

TEST(StreamConfigTest, FillsInWhatNatsServerFillsIn) {
  StreamConfig config;
  config.name = "ORD";
  ASSERT_EQ(text_of(check_stream_config(config)), "fine");
  EXPECT_EQ(config.subjects, std::vector<std::string>{"ORD"});
  EXPECT_EQ(config.max_msgs, -1);
  EXPECT_EQ(config.max_bytes, -1);
  EXPECT_EQ(config.max_consumers, -1);
  EXPECT_EQ(config.max_msgs_per_subject, -1);
  EXPECT_EQ(config.max_msg_size, -1);
  EXPECT_EQ(config.max_age_ns, 0);
  EXPECT_EQ(config.num_replicas, 1);
  EXPECT_EQ(config.duplicate_window_ns, 120'000'000'000);
  config = a_stream();
  config.max_age_ns = 5'000'000'000;
  ASSERT_EQ(text_of(check_stream_config(config)), "fine");
  EXPECT_EQ(config.duplicate_window_ns, 5'000'000'000);
}

struct StreamCase {
  const char* expected;
  std::function<void(StreamConfig&)> change;
};

TEST(StreamConfigTest, RefusesWithTheReferencesTexts) {
  const StreamCase cases[] = {
      {"500/10052 stream name is required and can not contain '.', '*', '>'",
       [](StreamConfig& c) { c.name = ""; }},
      {"500/10052 stream name is required and can not contain '.', '*', '>'",
       [](StreamConfig& c) { c.name = "a.b"; }},
      {"400/10128 Stream name can not contain path separators",
       [](StreamConfig& c) { c.name = "a/b"; }},
      {"500/10052 stream name is too long, maximum allowed is 255",
       [](StreamConfig& c) { c.name = std::string(256, 'a'); }},
      {"500/10052 stream description is too long, maximum allowed is 4096",
       [](StreamConfig& c) { c.description = std::string(4097, 'a'); }},
      {"500/10052 stream metadata exceeds maximum size of 131072 bytes",
       [](StreamConfig& c) { c.metadata["k"] = std::string(131072, 'a'); }},
      {"500/10074 replicas > 1 not supported in non-clustered mode",
       [](StreamConfig& c) { c.num_replicas = 3; }},
      {"500/10052 maximum replicas is 5", [](StreamConfig& c) { c.num_replicas = 6; }},
      {"400/10133 replicas count cannot be negative", [](StreamConfig& c) { c.num_replicas = -1; }},
      {"500/10052 mirrors are not supported by this server",
       [](StreamConfig& c) { c.has_mirror = true; }},
      {"500/10052 sources are not supported by this server",
       [](StreamConfig& c) { c.has_sources = true; }},
      {"500/10052 max age needs to be >= 100ms", [](StreamConfig& c) { c.max_age_ns = 1; }},
      {"500/10052 duplicates window can not be negative",
       [](StreamConfig& c) { c.duplicate_window_ns = -1; }},
      {"500/10052 duplicates window needs to be >= 100ms",
       [](StreamConfig& c) { c.duplicate_window_ns = 1; }},
      {"500/10052 duplicates window can not be larger then max age",
       [](StreamConfig& c) {
         c.max_age_ns = 1'000'000'000;
         c.duplicate_window_ns = 2'000'000'000;
       }},
      {"500/10052 roll-ups require the purge permission",
       [](StreamConfig& c) { c.allow_rollup_hdrs = c.deny_purge = true; }},
      {"500/10052 discard new per subject requires discard new policy to be set",
       [](StreamConfig& c) { c.discard_new_per_subject = true; }},
      {"500/10052 discard new per subject requires max msgs per subject > 0",
       [](StreamConfig& c) {
         c.discard_new_per_subject = true;
         c.discard = Discard::kNew;
       }},
      {"500/10052 stream configuration for create can not be sealed",
       [](StreamConfig& c) { c.sealed = true; }},
      {"500/10052 invalid subject", [](StreamConfig& c) { c.subjects = {"a..b"}; }},
      {"500/10052 duplicate subjects detected",
       [](StreamConfig& c) {
         c.subjects = {"a", "a"};
       }},
      {"500/10052 subject \"a.*\" overlaps with \"a.b\"",
       [](StreamConfig& c) {
         c.subjects = {"a.*", "a.b"};
       }},
      {"500/10052 subjects overlap with jetstream api",
       [](StreamConfig& c) { c.subjects = {"$JS.API.>"}; }},
      {"500/10052 subjects that overlap with jetstream api require no-ack to be true",
       [](StreamConfig& c) { c.subjects = {"$JS.>"}; }},
      {"500/10052 subjects that overlap with system api require no-ack to be true",
       [](StreamConfig& c) { c.subjects = {"$SYS.>"}; }},
      {"500/10052 capturing all subjects requires no-ack to be true",
       [](StreamConfig& c) { c.subjects = {">"}; }},
      {"500/10052 stream configuration for republish destination forms a cycle",
       [](StreamConfig& c) {
         c.republish = RepublishConfig{"", "ord.copy.>", false};
       }},
      {"500/10052 stream configuration for republish with transform from 'ord.*' to 'x.$2' not "
       "valid",
       [](StreamConfig& c) {
         c.republish = RepublishConfig{"ord.*", "x.$2", false};
       }},
      {"400/10155 stream transform source: invalid subject a..b",
       [](StreamConfig& c) {
         c.subject_transform = SubjectTransformConfig{"a..b", "c"};
       }},
      {"400/10156 stream transform: invalid mapping destination: wildcard index out of range in $3",
       [](StreamConfig& c) {
         c.subject_transform = SubjectTransformConfig{"ord.*", "c.$3"};
       }},
      {"fine", [](StreamConfig& c) { c.subjects = {"$JS.EVENT.>"}; }},
      {"fine",
       [](StreamConfig& c) {
         c.subjects = {">"};
         c.no_ack = true;
       }},
      {"fine", [](StreamConfig& c) { c.has_placement = true; }},
  };
  for (const StreamCase& one : cases) {
    StreamConfig config = a_stream();
    one.change(config);
    EXPECT_EQ(text_of(check_stream_config(config)), one.expected);
  }
}

TEST(StreamConfigTest, UpdatesChangeWhatMayChange) {
  const StreamCase cases[] = {
      {"fine", [](StreamConfig& c) { c.description = "new"; }},
      {"fine", [](StreamConfig& c) { c.subjects = {"other.>"}; }},
      {"fine", [](StreamConfig& c) { c.retention = Retention::kInterest; }},
      {"500/10052 stream configuration name must match original",
       [](StreamConfig& c) { c.name = "X"; }},
      {"500/10052 stream configuration update can not change MaxConsumers",
       [](StreamConfig& c) { c.max_consumers = 5; }},
      {"500/10052 stream configuration update can not change storage type",
       [](StreamConfig& c) { c.storage = StorageType::kMemory; }},
      {"500/10052 stream configuration update can not change retention policy to/from workqueue",
       [](StreamConfig& c) { c.retention = Retention::kWorkQueue; }},
      {"500/10052 stream configuration update can not cancel deny message deletes",
       [](StreamConfig& c) { c.deny_delete = false; }},
      {"500/10052 stream configuration update can not cancel deny purge",
       [](StreamConfig& c) { c.deny_purge = false; }},
      {"500/10052 stream configuration update can not be owned by a template",
       [](StreamConfig& c) { c.template_owner = "t"; }},
  };
  StreamConfig current = a_stream();
  current.deny_delete = true;
  current.deny_purge = true;
  ASSERT_EQ(text_of(check_stream_config(current)), "fine");
  for (const StreamCase& one : cases) {
    StreamConfig config = current;
    one.change(config);
    EXPECT_EQ(text_of(check_stream_update(current, config)), one.expected);
  }
}

TEST(StreamConfigTest, SealingImpliesDenying) {
  StreamConfig current = a_stream();
  current.max_age_ns = 1'000'000'000;
  current.allow_rollup_hdrs = true;
  ASSERT_EQ(text_of(check_stream_config(current)), "fine");
  StreamConfig sealed = current;
  sealed.sealed = true;
  ASSERT_EQ(text_of(check_stream_update(current, sealed)), "fine");
  EXPECT_TRUE(sealed.deny_delete && sealed.deny_purge && !sealed.allow_rollup_hdrs);
  EXPECT_EQ(sealed.max_age_ns, 0);
  EXPECT_EQ(sealed.discard, Discard::kNew);
  StreamConfig again = sealed;
  again.sealed = false;
  EXPECT_EQ(text_of(check_stream_update(sealed, again)),
            "500/10052 stream configuration update can not unseal a sealed stream");
}

TEST(StreamConfigTest, IsStoredWhole) {
  StreamConfig config = a_stream();
  config.description = "d";
  config.subjects = {"a", "b.>"};
  config.retention = Retention::kWorkQueue;
  config.max_consumers = 1;
  config.max_msgs = 2;
  config.max_bytes = 3;
  config.max_age_ns = 4;
  config.max_msgs_per_subject = 5;
  config.max_msg_size = 6;
  config.discard = Discard::kNew;
  config.discard_new_per_subject = true;
  config.storage = StorageType::kMemory;
  config.num_replicas = 1;
  config.duplicate_window_ns = 7;
  config.no_ack = config.sealed = config.deny_delete = config.deny_purge = true;
  config.allow_rollup_hdrs = config.allow_direct = config.mirror_direct = true;
  config.first_seq = 8;
  config.compression = Compression::kS2;
  config.republish = RepublishConfig{"a", "r", true};
  config.subject_transform = SubjectTransformConfig{"s", "t"};
  config.consumer_limits = {9, 10};
  config.metadata = {{"k", "v"}, {"", "empty"}};
  config.template_owner = "o";
  config.has_placement = true;
  const std::string bytes = encode_stream_config(config);
  const auto decoded = decode_stream_config(bytes);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(*decoded, config);
  const auto with_later_field = decode_stream_config(bytes + std::string("\x77\x07\x01\0\0\0x", 7));
  ASSERT_TRUE(with_later_field.has_value());
  EXPECT_EQ(*with_later_field, config);
  EXPECT_FALSE(decode_stream_config(bytes.substr(0, bytes.size() - 1)).has_value());
  EXPECT_FALSE(decode_stream_config("").has_value());
}

ConsumerConfig a_consumer() {
  ConsumerConfig config;
  config.durable_name = "C";
  config.ack_policy = AckPolicy::kExplicit;
  return config;
}
ConsumerConfig a_push_consumer() {
  ConsumerConfig config = a_consumer();
  config.deliver_subject = "to.me";
  return config;
}

TEST(ConsumerConfigTest, FillsInWhatNatsServerFillsIn) {
  StreamConfig stream = a_stream();
  ASSERT_EQ(text_of(check_stream_config(stream)), "fine");
  ConsumerConfig pull = a_consumer();
  ASSERT_EQ(text_of(check_consumer_config(pull, stream)), "fine");
  EXPECT_EQ(pull.ack_wait_ns, 30'000'000'000);
  EXPECT_EQ(pull.max_deliver, -1);
  EXPECT_EQ(pull.max_waiting, 512);
  EXPECT_EQ(pull.max_ack_pending, 1000);
  EXPECT_EQ(pull.inactive_threshold_ns, 0);
  ConsumerConfig ephemeral;
  ephemeral.backoff_ns = {7, 8};
  ASSERT_EQ(text_of(check_consumer_config(ephemeral, stream)), "fine");
  EXPECT_EQ(ephemeral.inactive_threshold_ns, 5'000'000'000);
  EXPECT_EQ(ephemeral.max_ack_pending, 0);
  EXPECT_EQ(ephemeral.ack_wait_ns, 7);
  stream.consumer_limits = {3, 50};
  pull = a_consumer();
  ASSERT_EQ(text_of(check_consumer_config(pull, stream)), "fine");
  EXPECT_EQ(pull.max_ack_pending, 50);
  EXPECT_EQ(pull.inactive_threshold_ns, 3);
}

struct ConsumerCase {
  const char* expected;
  std::function<void(ConsumerConfig&)> change;
};

void expect_refusals(const ConsumerConfig& base,
                     const StreamConfig& stream,
                     std::initializer_list<ConsumerCase> cases) {
  for (const ConsumerCase& one : cases) {
    ConsumerConfig config = base;
    one.change(config);
    EXPECT_EQ(text_of(check_consumer_config(config, stream)), one.expected);
  }
}

TEST(ConsumerConfigTest, RefusesWithTheReferencesTexts) {
  StreamConfig stream = a_stream();
  ASSERT_EQ(text_of(check_stream_config(stream)), "fine");
  stream.consumer_limits = {10'000'000'000, 5000};
  expect_refusals(
      a_consumer(),
      stream,
      {
          {"400/10133 replicas count cannot be negative",
           [](ConsumerConfig& c) { c.num_replicas = -1; }},
          {"400/10126 consumer config replica count exceeds parent stream",
           [](ConsumerConfig& c) { c.num_replicas = 2; }},
          {"400/10116 max deliver is required to be > length of backoff values",
           [](ConsumerConfig& c) {
             c.max_deliver = 1;
             c.backoff_ns = {1, 2};
           }},
          {"400/10107 consumer description is too long, maximum allowed is 4096",
           [](ConsumerConfig& c) { c.description = std::string(4097, 'x'); }},
          {"400/10135 consumer metadata exceeds maximum size of 128KB",
           [](ConsumerConfig& c) { c.metadata["k"] = std::string(131072, 'x'); }},
          {"400/10086 consumer in pull mode can not have rate limit set",
           [](ConsumerConfig& c) { c.rate_limit_bps = 1; }},
          {"400/10087 consumer max waiting needs to be positive",
           [](ConsumerConfig& c) { c.max_waiting = -1; }},
          {"400/10088 consumer idle heartbeat requires a push based consumer",
           [](ConsumerConfig& c) { c.idle_heartbeat_ns = 1'000'000'000; }},
          {"400/10089 consumer flow control requires a push based consumer",
           [](ConsumerConfig& c) { c.flow_control = true; }},
          {"400/10114 consumer max request batch needs to be > 0",
           [](ConsumerConfig& c) { c.max_batch = -1; }},
          {"400/10115 consumer max request expires needs to be >= 1ms",
           [](ConsumerConfig& c) { c.max_expires_ns = 1; }},
          {"400/10121 consumer max ack pending exceeds system limit of 5000",
           [](ConsumerConfig& c) { c.max_ack_pending = 5001; }},
          {"400/10153 consumer inactive threshold exceeds system limit of 10s",
           [](ConsumerConfig& c) { c.inactive_threshold_ns = 10'000'000'001; }},
          {"400/10136 consumer cannot have both FilterSubject and FilterSubjects specified",
           [](ConsumerConfig& c) {
             c.filter_subject = "ord.a";
             c.filter_subjects = {"ord.b"};
           }},
          {"400/10138 consumer subject filters cannot overlap",
           [](ConsumerConfig& c) {
             c.filter_subjects = {"ord.a", "ord.*"};
           }},
          {"400/10139 consumer filter in FilterSubjects cannot be empty",
           [](ConsumerConfig& c) {
             c.filter_subjects = {"ord.a", ""};
           }},
          {"400/10093 consumer filter subject is not a valid subset of the interest subjects",
           [](ConsumerConfig& c) { c.filter_subject = "other"; }},
          {"400/10093 consumer filter subject is not a valid subset of the interest subjects",
           [](ConsumerConfig& c) { c.filter_subject = ">"; }},
          {"400/10095 failed to parse consumer sampling configuration: \"x%\" is not a percentage",
           [](ConsumerConfig& c) { c.sample_freq = "x%"; }},
          {"400/10103 durable name can not contain '.', '*', '>'",
           [](ConsumerConfig& c) { c.durable_name = "a.b"; }},
          {"400/10127 Consumer name can not contain path separators",
           [](ConsumerConfig& c) { c.durable_name = "a/b"; }},
          {"400/10102 consumer name is too long, maximum allowed is 255",
           [](ConsumerConfig& c) { c.durable_name = std::string(256, 'a'); }},
          {"400/10132 Consumer Durable and Name have to be equal if both are provided",
           [](ConsumerConfig& c) { c.name = "D"; }},
          {"fine", [](ConsumerConfig& c) { c.filter_subject = "ord.a.*"; }},
          {"fine", [](ConsumerConfig& c) { c.sample_freq = "30%"; }},
      });
  expect_refusals(a_push_consumer(),
                  stream,
                  {
                      {"400/10079 consumer deliver subject has wildcards",
                       [](ConsumerConfig& c) { c.deliver_subject = "a.*"; }},
                      {"400/10112 invalid push consumer deliver subject",
                       [](ConsumerConfig& c) { c.deliver_subject = "a..b"; }},
                      {"400/10081 consumer deliver subject forms a cycle",
                       [](ConsumerConfig& c) { c.deliver_subject = "ord.x"; }},
                      {"400/10080 consumer in push mode can not set max waiting",
                       [](ConsumerConfig& c) { c.max_waiting = 1; }},
                      {"400/10082 consumer requires ack policy for max ack pending",
                       [](ConsumerConfig& c) {
                         c.ack_policy = AckPolicy::kNone;
                         c.max_ack_pending = 1;
                       }},
                      {"400/10083 consumer idle heartbeat needs to be >= 100ms",
                       [](ConsumerConfig& c) { c.idle_heartbeat_ns = 1; }},
                      {"400/10108 consumer with flow control also needs heartbeats",
                       [](ConsumerConfig& c) { c.flow_control = true; }},
                      {"fine", [](ConsumerConfig&) {}},
                  });
}

TEST(ConsumerConfigTest, StartPositionsAndPoliciesMustFit) {
  StreamConfig stream = a_stream();
  ASSERT_EQ(text_of(check_stream_config(stream)), "fine");
  expect_refusals(
      a_consumer(),
      stream,
      {
          {"400/10094 consumer delivery policy is deliver all, but optional start sequence is also "
           "set",
           [](ConsumerConfig& c) { c.opt_start_seq = 1; }},
          {"400/10094 consumer delivery policy is deliver new, but optional start time is also set",
           [](ConsumerConfig& c) {
             c.deliver_policy = DeliverPolicy::kNew;
             c.opt_start_time_ns = 1;
           }},
          {"400/10094 consumer delivery policy is deliver by start sequence, but optional start "
           "sequence is not set",
           [](ConsumerConfig& c) { c.deliver_policy = DeliverPolicy::kByStartSequence; }},
          {"400/10094 consumer delivery policy is deliver by start time, but optional start time "
           "is not set",
           [](ConsumerConfig& c) { c.deliver_policy = DeliverPolicy::kByStartTime; }},
          {"400/10094 consumer delivery policy is deliver last per subject, but optional filter "
           "subject is not set",
           [](ConsumerConfig& c) { c.deliver_policy = DeliverPolicy::kLastPerSubject; }},
      });
  stream.retention = Retention::kWorkQueue;
  expect_refusals(a_consumer(),
                  stream,
                  {
                      {"400/10101 consumer must be deliver all on workqueue stream",
                       [](ConsumerConfig& c) { c.deliver_policy = DeliverPolicy::kNew; }},
                      {"400/10084 consumer in pull mode requires explicit ack policy on workqueue "
                       "stream",
                       [](ConsumerConfig& c) { c.ack_policy = AckPolicy::kNone; }},
                  });
  expect_refusals(a_push_consumer(),
                  stream,
                  {{"400/10098 workqueue stream requires explicit ack",
                    [](ConsumerConfig& c) { c.ack_policy = AckPolicy::kAll; }}});
}

TEST(ConsumerConfigTest, IsStoredWhole) {
  ConsumerConfig config;
  config.durable_name = "d";
  config.name = "n";
  config.description = "t";
  config.deliver_policy = DeliverPolicy::kByStartTime;
  config.opt_start_seq = 1;
  config.opt_start_time_ns = -2;
  config.ack_policy = AckPolicy::kAll;
  config.ack_wait_ns = 3;
  config.max_deliver = 4;
  config.backoff_ns = {5, 6};
  config.filter_subject = "f";
  config.filter_subjects = {"g", "h"};
  config.replay_policy = ReplayPolicy::kOriginal;
  config.rate_limit_bps = 7;
  config.sample_freq = "8%";
  config.max_waiting = 9;
  config.max_ack_pending = 10;
  config.flow_control = config.headers_only = config.mem_storage = config.direct = true;
  config.idle_heartbeat_ns = 11;
  config.max_batch = 12;
  config.max_expires_ns = 13;
  config.max_bytes = 14;
  config.deliver_subject = "to";
  config.deliver_group = "q";
  config.inactive_threshold_ns = 15;
  config.num_replicas = 16;
  config.metadata = {{"k", "v"}};
  config.pause_until_ns = 17;
  const std::string bytes = encode_consumer_config(config);
  const auto decoded = decode_consumer_config(bytes);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(*decoded, config);
  EXPECT_FALSE(decode_consumer_config(bytes.substr(1)).has_value());
}

}  // namespace
}  // namespace feedvault::broker::streams
