//! The objects of the API, as they stand in bodies.

use serde_json::value::RawValue;

use crate::json::{Count, Ignored, OneOrMany, Str, WordOr, json_object};

json_object! {
    /// A request.
    struct Body<'a> {
        model = "model": Ignored,
        messages = "messages": Vec<Message<'a>>,
        system = "system": OneOrMany<'a, Block<'a>>,
        stream = "stream": bool,
        max_tokens = "max_tokens": u64,
        temperature = "temperature": f64,
        top_p = "top_p": f64,
        top_k = "top_k": f64,
        stop_sequences = "stop_sequences": Vec<Str<'a>>,
        tools = "tools": Vec<Tool<'a>>,
        tool_choice = "tool_choice": ToolChoice<'a>,
        thinking = "thinking": Thinking<'a>,
        output_config = "output_config": OutputConfig<'a>,
        metadata = "metadata": Metadata<'a>,
        cache_control = "cache_control": Ignored,
        service_tier = "service_tier": Ignored,
        speed = "speed": Ignored,
        context_management = "context_management": Ignored,
        diagnostics = "diagnostics": Ignored,
        inference_geo = "inference_geo": Ignored,
        container = "container": Ignored,
        previous_message_id = "previous_message_id": Ignored,
        mcp_servers = "mcp_servers": Vec<Ignored>,
    }
}

json_object! {
    /// One message.
    struct Message<'a> {
        role = "role": Str<'a>,
        content = "content": OneOrMany<'a, Block<'a>>,
    }
}

json_object! {
    /// A content block of any type: the members of all types together.
    struct Block<'a> {
        kind = "type": Str<'a>,
        text = "text": Str<'a>,
        thinking = "thinking": Str<'a>,
        signature = "signature": Str<'a>,
        data = "data": Str<'a>,
        // Of search results it is a plain text.
        source = "source": WordOr<'a, Source<'a>>,
        title = "title": Str<'a>,
        context = "context": Str<'a>,
        id = "id": Str<'a>,
        name = "name": Str<'a>,
        input = "input": &'a RawValue,
        tool_use_id = "tool_use_id": Str<'a>,
        content = "content": OneOrMany<'a, Block<'a>>,
        is_error = "is_error": bool,
        cache_control = "cache_control": Ignored,
        citations = "citations": &'a RawValue,
        caller = "caller": Ignored,
        toolset_name = "toolset_name": Str<'a>,
    }
}

json_object! {
    /// Where an image or a document is.
    struct Source<'a> {
        kind = "type": Str<'a>,
        media_type = "media_type": Str<'a>,
        data = "data": Str<'a>,
        url = "url": Str<'a>,
        file_id = "file_id": Str<'a>,
        content = "content": OneOrMany<'a, Block<'a>>,
    }
}

json_object! {
    /// A tool of the client's, or one that Anthropic defines, which has a type.
    struct Tool<'a> {
        kind = "type": Str<'a>,
        name = "name": Str<'a>,
        description = "description": Str<'a>,
        input_schema = "input_schema": &'a RawValue,
        strict = "strict": bool,
        cache_control = "cache_control": Ignored,
        defer_loading = "defer_loading": Ignored,
        allowed_callers = "allowed_callers": Ignored,
        eager_input_streaming = "eager_input_streaming": Ignored,
        input_examples = "input_examples": Ignored,
    }
}

json_object! {
    /// Whether a tool must be called.
    struct ToolChoice<'a> {
        kind = "type": Str<'a>,
        name = "name": Str<'a>,
        disable_parallel_tool_use = "disable_parallel_tool_use": bool,
    }
}

json_object! {
    /// How the model is to think.
    struct Thinking<'a> {
        kind = "type": Str<'a>,
        budget_tokens = "budget_tokens": u64,
        display = "display": Str<'a>,
    }
}

json_object! {
    /// How much effort is made, and what shape the answer has.
    struct OutputConfig<'a> {
        effort = "effort": Str<'a>,
        format = "format": OutputFormat<'a>,
    }
}

json_object! {
    /// The shape of the answer.
    struct OutputFormat<'a> {
        kind = "type": Str<'a>,
        schema = "schema": &'a RawValue,
    }
}

json_object! {
    /// About the request.
    struct Metadata<'a> {
        user_id = "user_id": Str<'a>,
    }
}

json_object! {
    /// An answer.
    struct Answer<'a> {
        id = "id": Str<'a>,
        kind = "type": Str<'a>,
        model = "model": Str<'a>,
        content = "content": Vec<Block<'a>>,
        stop_reason = "stop_reason": Str<'a>,
        stop_sequence = "stop_sequence": Str<'a>,
        usage = "usage": Usage<'a>,
    }
}

json_object! {
    /// What an answer cost.
    struct Usage<'a> {
        input_tokens = "input_tokens": Count,
        output_tokens = "output_tokens": Count,
        cache_creation_input_tokens = "cache_creation_input_tokens": Count,
        cache_read_input_tokens = "cache_read_input_tokens": Count,
        output_tokens_details = "output_tokens_details": OutputTokensDetails<'a>,
    }
}

json_object! {
    /// What the output was.
    struct OutputTokensDetails<'a> {
        thinking_tokens = "thinking_tokens": Count,
    }
}

json_object! {
    /// An event of a stream, of any type.
    struct StreamEvent<'a> {
        kind = "type": Str<'a>,
        message = "message": Answer<'a>,
        content_block = "content_block": Block<'a>,
        delta = "delta": Delta<'a>,
        usage = "usage": Usage<'a>,
    }
}

json_object! {
    /// What an event adds.
    struct Delta<'a> {
        kind = "type": Str<'a>,
        text = "text": Str<'a>,
        partial_json = "partial_json": Str<'a>,
        thinking = "thinking": Str<'a>,
        signature = "signature": Str<'a>,
        stop_reason = "stop_reason": Str<'a>,
        stop_sequence = "stop_sequence": Str<'a>,
    }
}
