//! The objects of the API, as they stand in bodies. Like all of Google's, it takes names in camel
//! case and in snake case.

use serde_json::value::RawValue;

use crate::json::{Count, Ignored, Str, WordOr, json_object};

json_object! {
    /// A request.
    struct Body<'a> {
        model = "model": Ignored,
        contents = "contents": Vec<Content<'a>>,
        system_instruction = "systemInstruction" | "system_instruction": WordOr<'a, Content<'a>>,
        tools = "tools": Vec<Tool<'a>>,
        tool_config = "toolConfig" | "tool_config": ToolConfig<'a>,
        generation_config = "generationConfig" | "generation_config": GenerationConfig<'a>,
        safety_settings = "safetySettings" | "safety_settings": Ignored,
        cached_content = "cachedContent" | "cached_content": Ignored,
        labels = "labels": Ignored,
        service_tier = "serviceTier" | "service_tier": Ignored,
        store = "store": bool,
    }
}

json_object! {
    /// A message.
    struct Content<'a> {
        role = "role": Str<'a>,
        parts = "parts": Vec<Part<'a>>,
    }
}

json_object! {
    /// A part of a message, of any kind.
    struct Part<'a> {
        text = "text": Str<'a>,
        thought = "thought": bool,
        thought_signature = "thoughtSignature" | "thought_signature": Str<'a>,
        // Parts are moved about a good deal, and most are text: what is rare and large lies apart.
        inline_data = "inlineData" | "inline_data": Box<Blob<'a>>,
        file_data = "fileData" | "file_data": Box<Blob<'a>>,
        function_call = "functionCall" | "function_call": Box<FunctionCall<'a>>,
        function_response = "functionResponse" | "function_response": Box<FunctionResponse<'a>>,
        executable_code = "executableCode" | "executable_code": Ignored,
        code_execution_result = "codeExecutionResult" | "code_execution_result": Ignored,
        tool_call = "toolCall" | "tool_call": Ignored,
        tool_response = "toolResponse" | "tool_response": Ignored,
        media_resolution = "mediaResolution" | "media_resolution": Ignored,
    }
}

json_object! {
    /// Bytes, or where they are.
    struct Blob<'a> {
        mime_type = "mimeType" | "mime_type": Str<'a>,
        data = "data": Str<'a>,
        file_uri = "fileUri" | "file_uri": Str<'a>,
        display_name = "displayName" | "display_name": Str<'a>,
    }
}

json_object! {
    /// A call.
    struct FunctionCall<'a> {
        id = "id": Str<'a>,
        name = "name": Str<'a>,
        args = "args": &'a RawValue,
        partial_args = "partialArgs" | "partial_args": Ignored,
    }
}

json_object! {
    /// What a function gave back.
    struct FunctionResponse<'a> {
        id = "id": Str<'a>,
        name = "name": Str<'a>,
        response = "response": &'a RawValue,
        parts = "parts": Vec<Part<'a>>,
    }
}

json_object! {
    /// What a function gave back, where it is a text.
    struct Outcome<'a> {
        output = "output": Str<'a>,
        result = "result": Str<'a>,
        error = "error": Str<'a>,
    }
}

json_object! {
    /// Functions that may be called; tools that Google runs are further members.
    struct Tool<'a> {
        function_declarations = "functionDeclarations" | "function_declarations":
            Vec<FunctionDeclaration<'a>>,
    }
}

json_object! {
    /// A function that may be called. Its parameters stand in Google's own form of a schema, or in
    /// JSON Schema.
    struct FunctionDeclaration<'a> {
        name = "name": Str<'a>,
        description = "description": Str<'a>,
        parameters = "parameters": &'a RawValue,
        parameters_json_schema = "parametersJsonSchema" | "parameters_json_schema": &'a RawValue,
        response = "response": Ignored,
        response_json_schema = "responseJsonSchema" | "response_json_schema": Ignored,
        behavior = "behavior": Ignored,
    }
}

json_object! {
    /// How tools are used.
    struct ToolConfig<'a> {
        function_calling_config = "functionCallingConfig" | "function_calling_config":
            FunctionCallingConfig<'a>,
    }
}

json_object! {
    /// Whether a function must be called.
    struct FunctionCallingConfig<'a> {
        mode = "mode": Str<'a>,
        allowed_function_names = "allowedFunctionNames" | "allowed_function_names": Vec<Str<'a>>,
        stream_function_call_arguments = "streamFunctionCallArguments": Ignored,
    }
}

json_object! {
    /// How the answer is made.
    struct GenerationConfig<'a> {
        temperature = "temperature": f64,
        top_p = "topP" | "top_p": f64,
        top_k = "topK" | "top_k": f64,
        candidate_count = "candidateCount" | "candidate_count": u64,
        max_output_tokens = "maxOutputTokens" | "max_output_tokens": u64,
        stop_sequences = "stopSequences" | "stop_sequences": Vec<Str<'a>>,
        presence_penalty = "presencePenalty" | "presence_penalty": f64,
        frequency_penalty = "frequencyPenalty" | "frequency_penalty": f64,
        seed = "seed": i64,
        response_logprobs = "responseLogprobs" | "response_logprobs": bool,
        logprobs = "logprobs": Ignored,
        response_mime_type = "responseMimeType" | "response_mime_type": Str<'a>,
        response_schema = "responseSchema" | "response_schema": &'a RawValue,
        response_json_schema = "responseJsonSchema" | "response_json_schema": &'a RawValue,
        response_modalities = "responseModalities" | "response_modalities": Vec<Str<'a>>,
        thinking_config = "thinkingConfig" | "thinking_config": ThinkingConfig<'a>,
        media_resolution = "mediaResolution" | "media_resolution": Ignored,
        speech_config = "speechConfig" | "speech_config": Ignored,
        image_config = "imageConfig" | "image_config": Ignored,
    }
}

json_object! {
    /// How the model is to think.
    struct ThinkingConfig<'a> {
        include_thoughts = "includeThoughts" | "include_thoughts": bool,
        thinking_budget = "thinkingBudget" | "thinking_budget": i64,
        thinking_level = "thinkingLevel" | "thinking_level": Str<'a>,
    }
}

json_object! {
    /// An answer or a chunk of one.
    struct Response<'a> {
        candidates = "candidates": Vec<Candidate<'a>>,
        prompt_feedback = "promptFeedback": PromptFeedback<'a>,
        usage_metadata = "usageMetadata": UsageMetadata<'a>,
        model_version = "modelVersion": Str<'a>,
        id = "responseId": Str<'a>,
        error = "error": Ignored,
    }
}

json_object! {
    /// One of the answers that were asked for.
    struct Candidate<'a> {
        content = "content": Content<'a>,
        finish_reason = "finishReason": Str<'a>,
        finish_message = "finishMessage": Str<'a>,
        index = "index": u64,
    }
}

json_object! {
    /// Why there is no answer.
    struct PromptFeedback<'a> {
        block_reason = "blockReason": Str<'a>,
    }
}

json_object! {
    /// What an answer cost.
    struct UsageMetadata<'a> {
        prompt_token_count = "promptTokenCount": Count,
        tool_use_prompt_token_count = "toolUsePromptTokenCount": Count,
        cached_content_token_count = "cachedContentTokenCount": Count,
        candidates_token_count = "candidatesTokenCount": Count,
        thoughts_token_count = "thoughtsTokenCount": Count,
    }
}
