//! The objects of the API, as they stand in bodies.

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use crate::json::{Count, Ignored, OneOrMany, Str, WordOr, json_object};

json_object! {
    /// A request.
    struct Body<'a> {
        model = "model": Ignored,
        messages = "messages": Vec<Message<'a>>,
        stream = "stream": bool,
        stream_options = "stream_options": StreamOptions<'a>,
        max_tokens = "max_tokens": u64,
        max_completion_tokens = "max_completion_tokens": u64,
        temperature = "temperature": f64,
        top_p = "top_p": f64,
        presence_penalty = "presence_penalty": f64,
        frequency_penalty = "frequency_penalty": f64,
        seed = "seed": i64,
        stop = "stop": OneOrMany<'a, Str<'a>>,
        n = "n": u64,
        tools = "tools": Vec<Tool<'a>>,
        tool_choice = "tool_choice": WordOr<'a, ToolChoice<'a>>,
        parallel_tool_calls = "parallel_tool_calls": bool,
        functions = "functions": Ignored,
        response_format = "response_format": ResponseFormat<'a>,
        reasoning_effort = "reasoning_effort": Str<'a>,
        user = "user": Str<'a>,
        safety_identifier = "safety_identifier": Str<'a>,
        logprobs = "logprobs": bool,
        logit_bias = "logit_bias": Ignored,
        modalities = "modalities": Vec<Str<'a>>,
        prediction = "prediction": Ignored,
        verbosity = "verbosity": Ignored,
        web_search_options = "web_search_options": Ignored,
        metadata = "metadata": Ignored,
        store = "store": bool,
        moderation = "moderation": Ignored,
        service_tier = "service_tier": Ignored,
        prompt_cache_key = "prompt_cache_key": Ignored,
        prompt_cache_options = "prompt_cache_options": Ignored,
        prompt_cache_retention = "prompt_cache_retention": Ignored,
        top_logprobs = "top_logprobs": Ignored,
    }
}

json_object! {
    /// How a stream is written.
    struct StreamOptions<'a> {
        include_usage = "include_usage": bool,
        include_obfuscation = "include_obfuscation": Ignored,
    }
}

json_object! {
    /// A message of a request or of an answer, or what a chunk adds to one.
    struct Message<'a> {
        role = "role": Str<'a>,
        content = "content": OneOrMany<'a, ContentPart<'a>>,
        refusal = "refusal": Str<'a>,
        name = "name": Str<'a>,
        tool_calls = "tool_calls": Vec<ToolCall<'a>>,
        tool_call_id = "tool_call_id": Str<'a>,
        function_call = "function_call": Ignored,
        audio = "audio": Ignored,
        annotations = "annotations": Vec<Ignored>,
        reasoning_content = "reasoning_content": Str<'a>,
        // OpenRouter's name for the same.
        reasoning = "reasoning": Str<'a>,
        reasoning_details = "reasoning_details": Vec<ReasoningDetail<'a>>,
    }
}

json_object! {
    /// A piece of reasoning with its seal, in the form that OpenRouter has for it.
    struct ReasoningDetail<'a> {
        kind = "type": Str<'a>,
        text = "text": Str<'a>,
        signature = "signature": Str<'a>,
        data = "data": Str<'a>,
    }
}

json_object! {
    /// A part of a message, of any type.
    struct ContentPart<'a> {
        kind = "type": Str<'a>,
        text = "text": Str<'a>,
        refusal = "refusal": Str<'a>,
        image_url = "image_url": WordOr<'a, ImageUrl<'a>>,
        file = "file": Box<Attachment<'a>>,
        input_audio = "input_audio": Ignored,
        cache_control = "cache_control": Ignored,
        prompt_cache_breakpoint = "prompt_cache_breakpoint": Ignored,
    }
}

json_object! {
    /// An image.
    struct ImageUrl<'a> {
        url = "url": Str<'a>,
        detail = "detail": Str<'a>,
    }
}

json_object! {
    /// A document.
    struct Attachment<'a> {
        file_data = "file_data": Str<'a>,
        file_id = "file_id": Str<'a>,
        filename = "filename": Str<'a>,
    }
}

json_object! {
    /// A call, or what a chunk adds to one.
    struct ToolCall<'a> {
        index = "index": u64,
        id = "id": Str<'a>,
        kind = "type": Str<'a>,
        function = "function": FunctionCall<'a>,
        extra_content = "extra_content": ExtraContent<'a>,
    }
}

json_object! {
    /// The function that is called.
    struct FunctionCall<'a> {
        name = "name": Str<'a>,
        arguments = "arguments": Arguments<'a>,
    }
}

json_object! {
    /// What Google adds in its own chat completions.
    struct ExtraContent<'a> {
        google = "google": GoogleExtra<'a>,
    }
}

json_object! {
    /// The signature of a call.
    struct GoogleExtra<'a> {
        thought_signature = "thought_signature": Str<'a>,
    }
}

json_object! {
    /// A tool of the client's.
    struct Tool<'a> {
        kind = "type": Str<'a>,
        function = "function": Function<'a>,
    }
}

json_object! {
    /// A function that may be called.
    struct Function<'a> {
        name = "name": Str<'a>,
        description = "description": Str<'a>,
        parameters = "parameters": &'a RawValue,
        strict = "strict": bool,
    }
}

json_object! {
    /// A choice that is more than a word.
    struct ToolChoice<'a> {
        kind = "type": Str<'a>,
        function = "function": Function<'a>,
    }
}

json_object! {
    /// The shape of the answer.
    struct ResponseFormat<'a> {
        kind = "type": Str<'a>,
        json_schema = "json_schema": JsonSchema<'a>,
    }
}

json_object! {
    /// A schema with its name.
    struct JsonSchema<'a> {
        name = "name": Str<'a>,
        description = "description": Str<'a>,
        schema = "schema": &'a RawValue,
        strict = "strict": bool,
    }
}

json_object! {
    /// An answer or a chunk of one.
    struct Answer<'a> {
        id = "id": Str<'a>,
        model = "model": Str<'a>,
        choices = "choices": Vec<Choice<'a>>,
        usage = "usage": Usage<'a>,
        x_groq = "x_groq": XGroq<'a>,
        error = "error": Ignored,
    }
}

json_object! {
    /// Groq's place for the usage of streams.
    struct XGroq<'a> {
        usage = "usage": Usage<'a>,
    }
}

json_object! {
    /// One of the answers that were asked for.
    struct Choice<'a> {
        index = "index": u64,
        message = "message": Message<'a>,
        delta = "delta": Message<'a>,
        finish_reason = "finish_reason": Str<'a>,
        error = "error": &'a RawValue,
    }
}

json_object! {
    /// What an answer cost.
    struct Usage<'a> {
        prompt_tokens = "prompt_tokens": Count,
        completion_tokens = "completion_tokens": Count,
        prompt_tokens_details = "prompt_tokens_details": UsageDetails<'a>,
        completion_tokens_details = "completion_tokens_details": UsageDetails<'a>,
        // DeepSeek's name for cached tokens.
        prompt_cache_hit_tokens = "prompt_cache_hit_tokens": Count,
    }
}

json_object! {
    /// What the tokens were.
    struct UsageDetails<'a> {
        cached_tokens = "cached_tokens": Count,
        cache_write_tokens = "cache_write_tokens": Count,
        reasoning_tokens = "reasoning_tokens": Count,
    }
}

/// The arguments of a call: JSON in a string. Some imitations send the JSON itself.
#[derive(Clone, Debug)]
pub(crate) enum Arguments<'a> {
    Text(Str<'a>),
    Json(&'a RawValue),
}

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('"') {
            serde_json::from_str(raw.get())
                .map(Self::Text)
                .map_err(de::Error::custom)
        } else {
            Ok(Self::Json(raw))
        }
    }
}
