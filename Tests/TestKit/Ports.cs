using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Librarian.Tests.TestKit;

/// <summary>
/// Loopback ports for programs that are told where to listen. A port that was only found free can be somebody else's when the program
/// listens at last, above all while the program is dead between two lives: another test's, or that of any outgoing connection.
/// </summary>
public static class Ports
{
    // Below what the kernel gives to connections and to listeners that take any port (net.ipv4.ip_local_port_range: 32768 and up).
    private const int First = 12_000;
    private const int Count = 16_000;

    private static readonly Lock s_gate = new();

    // Locks on files end with their process, however it ends.
    private static readonly List<FileStream> s_taken = [];
    private static readonly string s_folder = Directory
        .CreateDirectory(Path.Combine(Path.GetTempPath(), $"librarian-test-ports-{Environment.UserName}"))
        .FullName;
    private static int s_next = Random.Shared.Next(Count);

    /// <summary>Takes a port that no other test process gets before this one has ended.</summary>
    public static int Take()
    {
        lock (s_gate)
        {
            for (var tried = 0; tried < Count; tried++)
            {
                var port = First + (s_next++ % Count);
                if (TryLock(port) is not { } taken)
                    continue;
                s_taken.Add(taken);
                if (IsFree(port))
                    return port;
            }
        }

        throw new InvalidOperationException($"All ports from {First} to {First + Count - 1} are in use.");
    }

    private static FileStream? TryLock(int port)
    {
        try
        {
            var path = Path.Combine(s_folder, port.ToString(CultureInfo.InvariantCulture));
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException)
        {
            return null;
        }
    }

    private static bool IsFree(int port)
    {
        using var listener = new TcpListener(IPAddress.Loopback, port);
        try
        {
            listener.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
