//! The objects of the API, as they stand in bodies.

use serde_json::value::RawValue;

use crate::json::{Count, Ignored, OneOrMany, Str, WordOr, json_object};

json_object! {
    /// A request.
    struct Body<'a> {
        model = "model": Ignored,
        input = "input": OneOrMany<'a, Item<'a>>,
        instructions = "instructions": OneOrMany<'a, Item<'a>>,
        stream = "stream": bool,
        max_output_tokens = "max_output_tokens": u64,
        temperature = "temperature": f64,
        top_p = "top_p": f64,
        tools = "tools": Vec<Tool<'a>>,
        tool_choice = "tool_choice": WordOr<'a, ToolChoice<'a>>,
        parallel_tool_calls = "parallel_tool_calls": bool,
        text = "text": TextConfig<'a>,
        reasoning = "reasoning": Reasoning<'a>,
        user = "user": Str<'a>,
        safety_identifier = "safety_identifier": Str<'a>,
        include = "include": Vec<Str<'a>>,
        store = "store": bool,
        background = "background": bool,
        truncation = "truncation": Str<'a>,
        stream_options = "stream_options": Ignored,
        top_logprobs = "top_logprobs": Ignored,
        max_tool_calls = "max_tool_calls": Ignored,
        metadata = "metadata": Ignored,
        client_metadata = "client_metadata": Ignored,
        moderation = "moderation": Ignored,
        service_tier = "service_tier": Ignored,
        prompt_cache_key = "prompt_cache_key": Ignored,
        prompt_cache_options = "prompt_cache_options": Ignored,
        prompt_cache_retention = "prompt_cache_retention": Ignored,
        context_management = "context_management": Ignored,
        previous_response_id = "previous_response_id": Ignored,
        conversation = "conversation": Ignored,
        prompt = "prompt": Ignored,
    }
}

json_object! {
    /// An item of the input or of the output, of any type.
    struct Item<'a> {
        kind = "type": Str<'a>,
        id = "id": Str<'a>,
        status = "status": Ignored,
        role = "role": Str<'a>,
        content = "content": OneOrMany<'a, ContentPart<'a>>,
        call_id = "call_id": Str<'a>,
        name = "name": Str<'a>,
        arguments = "arguments": Str<'a>,
        output = "output": OneOrMany<'a, ContentPart<'a>>,
        summary = "summary": Vec<ContentPart<'a>>,
        encrypted_content = "encrypted_content": Str<'a>,
        phase = "phase": Ignored,
        caller = "caller": Ignored,
        namespace = "namespace": Str<'a>,
    }
}

json_object! {
    /// A part of a message, of any type.
    struct ContentPart<'a> {
        kind = "type": Str<'a>,
        text = "text": Str<'a>,
        refusal = "refusal": Str<'a>,
        image_url = "image_url": Str<'a>,
        detail = "detail": Str<'a>,
        file_id = "file_id": Str<'a>,
        file_data = "file_data": Str<'a>,
        file_url = "file_url": Str<'a>,
        filename = "filename": Str<'a>,
        annotations = "annotations": Vec<Ignored>,
        logprobs = "logprobs": Ignored,
        prompt_cache_breakpoint = "prompt_cache_breakpoint": Ignored,
    }
}

json_object! {
    /// A tool of the client's, a namespace of such, or one that OpenAI runs.
    struct Tool<'a> {
        kind = "type": Str<'a>,
        name = "name": Str<'a>,
        description = "description": Str<'a>,
        parameters = "parameters": &'a RawValue,
        strict = "strict": bool,
        allowed_callers = "allowed_callers": Ignored,
        defer_loading = "defer_loading": Ignored,
        output_schema = "output_schema": Ignored,
        tools = "tools": Vec<Tool<'a>>,
    }
}

json_object! {
    /// A choice that is more than a word.
    struct ToolChoice<'a> {
        kind = "type": Str<'a>,
        name = "name": Str<'a>,
    }
}

json_object! {
    /// The shape of the answer.
    struct TextConfig<'a> {
        format = "format": TextFormat<'a>,
        verbosity = "verbosity": Ignored,
    }
}

json_object! {
    /// A schema with its name.
    struct TextFormat<'a> {
        kind = "type": Str<'a>,
        name = "name": Str<'a>,
        description = "description": Str<'a>,
        schema = "schema": &'a RawValue,
        strict = "strict": bool,
    }
}

json_object! {
    /// How the model is to think.
    struct Reasoning<'a> {
        effort = "effort": Str<'a>,
        summary = "summary": Str<'a>,
        generate_summary = "generate_summary": Str<'a>,
        context = "context": Ignored,
        mode = "mode": Ignored,
    }
}

json_object! {
    /// An answer.
    struct Response<'a> {
        id = "id": Str<'a>,
        model = "model": Str<'a>,
        status = "status": Str<'a>,
        incomplete_details = "incomplete_details": IncompleteDetails<'a>,
        output = "output": Vec<Item<'a>>,
        usage = "usage": Usage<'a>,
        error = "error": Ignored,
    }
}

json_object! {
    /// Why an answer is not whole.
    struct IncompleteDetails<'a> {
        reason = "reason": Str<'a>,
    }
}

json_object! {
    /// What an answer cost.
    struct Usage<'a> {
        input_tokens = "input_tokens": Count,
        output_tokens = "output_tokens": Count,
        input_tokens_details = "input_tokens_details": UsageDetails<'a>,
        output_tokens_details = "output_tokens_details": UsageDetails<'a>,
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

json_object! {
    /// An event of a stream, of any type.
    struct StreamEvent<'a> {
        kind = "type": Str<'a>,
        response = "response": Response<'a>,
        item = "item": Item<'a>,
        output_index = "output_index": u64,
        summary_index = "summary_index": u64,
        delta = "delta": Str<'a>,
    }
}
