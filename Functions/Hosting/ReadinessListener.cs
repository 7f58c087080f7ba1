using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Librarian.Functions.Hosting;

/// <summary>
/// Owns the custom handler's port from the first moment of the process. Until the site serves, it answers the readiness ping
/// <c>GET /</c> with 200 and everything else with 503, so that migrations may take longer than the Functions host's
/// initializationTimeout. Kestrel then takes over the very same listening socket: the port is never closed in between, and a
/// connection that arrives during the hand-over waits in the kernel's queue.
/// </summary>
public sealed class ReadinessListener : IDisposable
{
    private const int LongestHead = 16 * 1024;
    private static readonly TimeSpan LongestExchange = TimeSpan.FromSeconds(5);

    private static readonly byte[] Ready = Answer("200 OK", "text/plain", "starting\n", "");

    private static readonly byte[] NotYet = Answer("503 Service Unavailable", "application/problem+json",
        """{"title":"The site is starting. Nothing was done; repeat the request.","status":503,"code":"SiteStarting"}""", "Retry-After: 2\r\n");

    private readonly Socket _socket;
    private readonly CancellationTokenSource _handedOver = new();
    private readonly Task _accepting;

    private ReadinessListener(Socket socket)
    {
        _socket = socket;
        _accepting = AcceptAsync();
    }

    /// <summary>Listens on 127.0.0.1.</summary>
    /// <param name="port">TCP port; 0 takes any free one.</param>
    /// <exception cref="SocketException">The port is taken.</exception>
    public static ReadinessListener Start(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
            socket.Listen();
        }
        catch
        {
            socket.Dispose();
            throw;
        }

        return new ReadinessListener(socket);
    }

    /// <summary>Where it listens.</summary>
    public IPEndPoint EndPoint => (IPEndPoint)_socket.LocalEndPoint!;

    /// <summary>Stops answering and gives the listening socket to its next owner.</summary>
    public Socket HandOver()
    {
        _handedOver.Cancel();
        _accepting.GetAwaiter().GetResult();
        return _socket;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _handedOver.Cancel();
        _socket.Dispose();
        _handedOver.Dispose();
    }

    private async Task AcceptAsync()
    {
        await Task.Yield();
        while (!_handedOver.IsCancellationRequested)
        {
            Socket connection;
            try
            {
                connection = await _socket.AcceptAsync(_handedOver.Token).ConfigureAwait(false);
            }
            catch (Exception exception) when (exception is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException)
            {
                continue;
            }

            // Not awaited: one slow peer must not keep the ping of the host waiting. Every exchange is bounded in time and bytes.
            _ = AnswerAsync(connection);
        }
    }

    private static async Task AnswerAsync(Socket connection)
    {
        using var socket = connection;
        using var limit = new CancellationTokenSource(LongestExchange);
        try
        {
            var head = new byte[LongestHead];
            var length = 0;
            while (length < head.Length && head.AsSpan(0, length).IndexOf("\r\n\r\n"u8) < 0)
            {
                var read = await socket.ReceiveAsync(head.AsMemory(length), limit.Token).ConfigureAwait(false);
                if (read == 0) return;
                length += read;
            }

            var isPing = head.AsSpan(0, length).StartsWith("GET / "u8);
            await socket.SendAsync(isPing ? Ready : NotYet, limit.Token).ConfigureAwait(false);
            socket.Shutdown(SocketShutdown.Send);

            // Closing with unread bytes would reset the connection and could take the answer with it.
            while (await socket.ReceiveAsync(head, limit.Token).ConfigureAwait(false) > 0)
            {
            }
        }
        catch (Exception exception) when (exception is SocketException or OperationCanceledException)
        {
            // The peer went away or was too slow; it asks again.
        }
    }

    private static byte[] Answer(string status, string contentType, string body, string headers) => Encoding.ASCII.GetBytes(
        $"HTTP/1.1 {status}\r\nContent-Type: {contentType}\r\nContent-Length: {body.Length}\r\n{headers}Connection: close\r\n\r\n{body}");
}
