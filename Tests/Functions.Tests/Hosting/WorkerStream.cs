using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Threading.Channels;
using Google.Protobuf;
using Librarian.Tests.Functions.Hosting.Protocol;
using Microsoft.AspNetCore.Http;

namespace Librarian.Tests.Functions.Hosting;

/// <summary>
/// The host's end of the one gRPC stream that a worker opens (FunctionRpc.EventStream): frames of five bytes and a message each way.
/// Written by hand because the packages bring the client alone.
/// </summary>
public sealed class WorkerStream
{
    public const string Path = "/AzureFunctionsRpcMessages.FunctionRpc/EventStream";

    private readonly Channel<StreamingMessage> _out = Channel.CreateUnbounded<StreamingMessage>();
    private readonly ConcurrentDictionary<string, TaskCompletionSource<StreamingMessage>> _asked = new(StringComparer.Ordinal);

    /// <summary>The first message of the worker, after which it may be asked.</summary>
    public TaskCompletionSource<StartStream> Started { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>What the worker wants to have logged.</summary>
    public ConcurrentQueue<RpcLog> Log { get; } = new();

    /// <summary>Sends something that is not answered.</summary>
    public void Send(StreamingMessage message) => Assert.True(_out.Writer.TryWrite(message));

    /// <summary>Sends something and waits for its answer.</summary>
    public async Task<StreamingMessage> AskAsync(StreamingMessage message, CancellationToken cancellationToken = default)
    {
        message.RequestId = Guid.NewGuid().ToString();
        // Loads and calls are answered by what they are about, the rest by the request.
        var key = Key(message);
        var answer = _asked.GetOrAdd(key, _ => new TaskCompletionSource<StreamingMessage>(
            TaskCreationOptions.RunContinuationsAsynchronously
        ));
        Send(message);
        return await answer.Task.WaitAsync(TimerFixture.WaitTimeout, cancellationToken);
    }

    /// <summary>Serves the stream until the worker is gone.</summary>
    public async Task ServeAsync(HttpContext context)
    {
        context.Response.ContentType = "application/grpc";
        await context.Response.Body.FlushAsync(context.RequestAborted);
        try
        {
            await Task.WhenAny(ReadAsync(context), WriteAsync(context));
        }
        catch (Exception gone)
            when (gone is IOException or OperationCanceledException or Microsoft.AspNetCore.Connections.ConnectionResetException)
        {
            // The worker has ended.
        }
    }

    private async Task ReadAsync(HttpContext context)
    {
        var head = new byte[5];
        while (true)
        {
            await context.Request.Body.ReadExactlyAsync(head, context.RequestAborted);
            var body = new byte[BinaryPrimitives.ReadInt32BigEndian(head.AsSpan(1))];
            await context.Request.Body.ReadExactlyAsync(body, context.RequestAborted);
            var message = StreamingMessage.Parser.ParseFrom(body);
            if (message.ContentCase == StreamingMessage.ContentOneofCase.RpcLog)
                Log.Enqueue(message.RpcLog);
            else if (message.ContentCase == StreamingMessage.ContentOneofCase.StartStream)
                Started.TrySetResult(message.StartStream);
            else if (_asked.TryRemove(Key(message), out var asked))
                asked.TrySetResult(message);
        }
    }

    private async Task WriteAsync(HttpContext context)
    {
        await foreach (var message in _out.Reader.ReadAllAsync(context.RequestAborted))
        {
            var frame = new byte[5 + message.CalculateSize()];
            BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(1), frame.Length - 5);
            message.WriteTo(frame.AsSpan(5));
            await context.Response.Body.WriteAsync(frame, context.RequestAborted);
            await context.Response.Body.FlushAsync(context.RequestAborted);
        }
    }

    private static string Key(StreamingMessage message) =>
        message.ContentCase switch
        {
            StreamingMessage.ContentOneofCase.FunctionLoadRequest => "load " + message.FunctionLoadRequest.FunctionId,
            StreamingMessage.ContentOneofCase.FunctionLoadResponse => "load " + message.FunctionLoadResponse.FunctionId,
            StreamingMessage.ContentOneofCase.InvocationRequest => "call " + message.InvocationRequest.InvocationId,
            StreamingMessage.ContentOneofCase.InvocationResponse => "call " + message.InvocationResponse.InvocationId,
            _ => message.RequestId,
        };
}
