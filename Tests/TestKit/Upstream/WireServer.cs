using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Librarian.Tests.TestKit.Upstream;

/// <summary>A request as it came over the wire.</summary>
/// <param name="Connection">Number of the connection, from 1.</param>
/// <param name="Line">For example <c>POST /api/v2/ping/ HTTP/1.1</c>.</param>
/// <param name="Headers">The headers in order, with names as sent.</param>
/// <param name="Body">UTF-8.</param>
public sealed record WireRequest(int Connection, string Line, IReadOnlyList<KeyValuePair<string, string>> Headers, string Body)
{
    private const string Prefix = "/api/v2/";

    /// <summary>The path after the API's prefix; empty outside the API.</summary>
    public string Path =>
        Line.Split(' ')[1] is var target && target.StartsWith(Prefix, StringComparison.Ordinal) ? target[Prefix.Length..] : "";

    public JsonElement Json => JsonDocument.Parse(Body).RootElement;

    /// <summary>Value of a header, or null.</summary>
    public string? Header(string name) =>
        Headers.Where(h => h.Key.Equals(name, StringComparison.OrdinalIgnoreCase)).Select(h => h.Value).FirstOrDefault();

    /// <summary>User and password of basic authentication, or null.</summary>
    public (string User, string Password)? Credentials =>
        Header("Authorization") is { } value
        && value.StartsWith("Basic ", StringComparison.Ordinal)
        && Encoding.ASCII.GetString(Convert.FromBase64String(value[6..])).Split(':', 2) is [var user, var password]
            ? (user, password)
            : null;
}

/// <summary>An answer for the server to send.</summary>
/// <param name="Status">HTTP status; 0 closes the connection without an answer.</param>
/// <param name="Body">UTF-8 text.</param>
/// <param name="ContentType">Null omits the header.</param>
/// <param name="Location">Target of a redirect.</param>
public sealed record WireAnswer(int Status, string Body, string? ContentType = "application/json", string? Location = null)
{
    /// <summary>Closes the connection instead of answering.</summary>
    public static readonly WireAnswer Drop = new(0, "");

    /// <summary>The framework's answer if a handler throws.</summary>
    public static readonly WireAnswer Fault = new(500, "Internal Server Error", "text/plain; charset=utf-8");
}

/// <summary>
/// A small HTTP/1.1 server on a socket: tests see the exact bytes, count connections and can break off at any point. It keeps connections
/// open like uvicorn.
/// </summary>
public sealed class WireServer : IAsyncDisposable
{
    private readonly Func<WireRequest, Task<WireAnswer>> _answer;
    private readonly ConcurrentQueue<WireRequest> _requests = new();
    private readonly Lock _gate = new();
    private readonly Dictionary<int, TcpClient> _open = [];
    private readonly List<Task> _work = [];
    private TcpListener? _listener;
    private int _connections;

    /// <summary>Starts on a port of 127.0.0.1 that stays its own while it is away.</summary>
    public WireServer(Func<WireRequest, Task<WireAnswer>> answer)
    {
        _answer = answer;
        Listen(Port = Ports.Take());
    }

    public int Port { get; }

    /// <summary>Number of connections since the start.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>All requests, in order.</summary>
    public IReadOnlyList<WireRequest> Requests => [.. _requests];

    /// <summary>Simulates the end of the process: closes the port and all connections.</summary>
    public void GoAway()
    {
        lock (_gate)
        {
            _listener?.Dispose();
            _listener = null;
            foreach (var client in _open.Values)
                client.Close();
        }
    }

    /// <summary>Starts again at the same address.</summary>
    public void ComeBack() => Listen(Port);

    public async ValueTask DisposeAsync()
    {
        GoAway();
        Task[] work;
        lock (_gate)
            work = [.. _work];
        await Task.WhenAll(work);
    }

    private void Listen(int port)
    {
        var listener = new TcpListener(IPAddress.Loopback, port);
        listener.Server.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        listener.Start(512);
        lock (_gate)
        {
            _listener = listener;
            _work.Add(AcceptAsync(listener));
        }
    }

    private async Task AcceptAsync(TcpListener listener)
    {
        try
        {
            while (true)
            {
                var client = await listener.AcceptTcpClientAsync();
                var number = Interlocked.Increment(ref _connections);
                lock (_gate)
                {
                    // It was accepted while the server went away.
                    if (_listener != listener)
                    {
                        client.Dispose();
                        return;
                    }

                    _open[number] = client;
                    _work.Add(Task.Run(() => ServeAsync(number, client)));
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException) { }
    }

    private async Task ServeAsync(int number, TcpClient client)
    {
        try
        {
            using (client)
            {
                var stream = client.GetStream();
                while (await WireMessage.ReadAsync(stream) is { } message)
                {
                    var request = new WireRequest(number, message.Start, message.Headers, message.Body);
                    _requests.Enqueue(request);
                    var answer = await _answer(request);
                    if (answer.Status == 0)
                        return;
                    var head = new StringBuilder().Append(
                        CultureInfo.InvariantCulture,
                        $"HTTP/1.1 {answer.Status} {(HttpStatusCode)answer.Status}\r\nserver: uvicorn\r\n"
                    );
                    var body = Encoding.UTF8.GetBytes(answer.Body);
                    head.Append(CultureInfo.InvariantCulture, $"content-length: {body.Length}\r\n");
                    if (answer.ContentType is { } type)
                        head.Append(CultureInfo.InvariantCulture, $"content-type: {type}\r\n");
                    if (answer.Location is { } location)
                        head.Append(CultureInfo.InvariantCulture, $"location: {location}\r\n");
                    head.Append("\r\n");
                    await stream.WriteAsync(Encoding.ASCII.GetBytes(head.ToString()));
                    await stream.WriteAsync(body);
                }
            }
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException) { }
        finally
        {
            lock (_gate)
                _open.Remove(number);
        }
    }
}

/// <summary>A request or response on a stream.</summary>
internal sealed record WireMessage(string Start, IReadOnlyList<KeyValuePair<string, string>> Headers, string Body)
{
    /// <summary>Reads the next message; null if the other side closed the connection before it.</summary>
    public static async Task<WireMessage?> ReadAsync(Stream stream)
    {
        if (await ReadLineAsync(stream) is not { Length: > 0 } start)
            return null;
        var headers = new List<KeyValuePair<string, string>>();
        while (await ReadLineAsync(stream) is { Length: > 0 } line)
        {
            var colon = line.IndexOf(':', StringComparison.Ordinal);
            headers.Add(new(line[..colon], line[(colon + 1)..].Trim()));
        }

        string? Value(string name) =>
            headers.Where(h => h.Key.Equals(name, StringComparison.OrdinalIgnoreCase)).Select(h => h.Value).FirstOrDefault();
        using var body = new MemoryStream();
        if (Value("Transfer-Encoding") == "chunked")
        {
            while (
                int.Parse((await ReadLineAsync(stream))!.Split(';')[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture)
                    is > 0
                        and var length
            )
            {
                await CopyAsync(stream, body, length);
                await ReadLineAsync(stream);
            }

            await ReadLineAsync(stream);
        }
        else if (Value("Content-Length") is { } text)
        {
            await CopyAsync(stream, body, int.Parse(text, CultureInfo.InvariantCulture));
        }

        return new WireMessage(start, headers, Encoding.UTF8.GetString(body.ToArray()));
    }

    private static async Task CopyAsync(Stream from, MemoryStream to, int bytes)
    {
        var buffer = new byte[bytes];
        await from.ReadExactlyAsync(buffer);
        to.Write(buffer);
    }

    private static async Task<string?> ReadLineAsync(Stream stream)
    {
        var line = new List<byte>();
        var one = new byte[1];
        while (await stream.ReadAsync(one) > 0)
        {
            if (one[0] == '\n')
                return Encoding.ASCII.GetString([.. line]).TrimEnd('\r');
            line.Add(one[0]);
        }

        return line.Count == 0 ? null : throw new IOException("The connection ended in the middle of a line.");
    }
}
