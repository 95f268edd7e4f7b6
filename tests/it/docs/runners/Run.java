/** Says whether docs/verify/HookboxSignature.java accepts the request of its arguments and its standard input. */
public final class Run {
    public static void main(String[] told) throws Exception {
        byte[] body = System.in.readAllBytes();
        boolean isSigned = HookboxSignature.isSigned(told[0], told[1], told[2], told[3], body);
        System.out.println(isSigned ? "accepted" : "refused");
    }
}
