using System.Text;
using Librarian.Client.Uploads;

namespace Librarian.Tests.Client;

/// <summary>Files with names that .NET cannot express: U+DC00 plus the byte stands for a byte that is not UTF-8.</summary>
internal static class RawFiles
{
    public static void MakeDirectory(string path) => Posix.CreateDirectory(path);

    public static void Write(string path, string content)
    {
        using var file = Posix.CreateFile(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        RandomAccess.Write(file, Encoding.UTF8.GetBytes(content), 0);
    }

    public static string Read(string path)
    {
        using var file = Posix.OpenToRead(path) ?? throw new FileNotFoundException(path);
        var content = new byte[RandomAccess.GetLength(file)];
        return Encoding.UTF8.GetString(content, 0, RandomAccess.Read(file, content, 0));
    }

    public static void Remove(string path) => Posix.Remove(path);
}
